"""Has the population moved? Inputs and scores of the last week held against those that the model was calibrated on; never an alarm."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from agent.decide.baseline import Baseline
from agent.decide.calibration import Calibration
from agent.snapshots import read_snapshot
from agent.types import NANOSECONDS, Float32Array

# The population stability index: below 0.1 nothing has moved, above 0.25 the populations differ (Siddiqi 2006, chapter 6).
SHIFTED = 0.25
_DAY_NS = 86_400 * NANOSECONDS
_HOUR_NS = 3_600 * NANOSECONDS
_DAYS = 7  # so that a day off is not a shift
_FEWEST_LOOKS = 200
_SPARSEST_NS = 60 * NANOSECONDS
_LEAST_SHARE = 1e-3
_LEVEL_SHARES = np.array([0.01, 0.49, 0.49, 0.01])  # between low, middle and high of a `ChannelBaseline`
SCORE = "score"


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """A channel's level, or the score, whose population has moved by a stability index `psi`."""

    what: str  # DEVICE.CHANNEL, or "score"
    psi: float


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """What has moved, the furthest first; `largest` is the largest index of all, None before there was enough to see."""

    largest: float | None
    shifted: list[Shift]
    looks: int


class _Day(msgspec.Struct):
    day: int
    first_ns: int
    looks: int
    levels: list[list[int]]  # by channel
    score: list[int]


class _Memory(msgspec.Struct):
    version: int
    judged_by: str
    looked_ns: int | None
    days: list[_Day]


class DriftMonitor:
    """Looks at a window a minute at most, and judges once an hour; `judged_by` names the model and the calibration."""

    def __init__(
        self, names: Sequence[str], baseline: Baseline | None, calibration: Calibration, window_ns: int, judged_by: str
    ) -> None:
        """`names` are DEVICE.CHANNEL in model order; without a baseline the score alone is watched."""
        self._names = names if baseline is not None else ()
        self._edges = (
            np.array([[each.low, each.middle, each.high] for each in baseline.channels])
            if baseline
            else np.empty((0, 3))
        )
        self._score_edges, self._score_shares = _score_bins(calibration)
        self._every_ns = max(window_ns, _SPARSEST_NS)
        self._judged_by = judged_by
        self._days: list[_Day] = []
        self._looked_ns: int | None = None
        self._drift = Drift(largest=None, shifted=[], looks=0)

    @property
    def report(self) -> Drift:
        """As of the last full hour."""
        return self._drift

    def look(self, values: Float32Array, score: float, end_ns: int) -> None:
        """Take in a window that could be judged, values [channels, time], while no alarm of the model stands; not all of them are looked at."""
        if self._looked_ns is not None and 0 <= end_ns - self._looked_ns < self._every_ns:
            return
        new_hour = self._looked_ns is not None and end_ns // _HOUR_NS != self._looked_ns // _HOUR_NS
        self._looked_ns = end_ns
        if new_hour:
            self._drift = self._judged()
        day = self._today(end_ns)
        day.looks += 1
        day.score[int(np.searchsorted(self._score_edges, score))] += 1
        if len(self._names):
            means = values.mean(axis=1, dtype=np.float64)
            for counts, at in zip(day.levels, (self._edges < means[:, None]).sum(axis=1).tolist(), strict=True):
                counts[at] += 1

    def snapshot(self) -> bytes:
        """Everything that must outlive a restart."""
        return msgspec.json.encode(_Memory(1, self._judged_by, self._looked_ns, self._days))

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`, or anew where it is of another model; raises ValueError, and changes nothing, where it is damaged."""
        memory = read_snapshot(snapshot, _Memory, "the record of drift")
        if memory.judged_by == self._judged_by and all(self._fits(day) for day in memory.days):
            self._days, self._looked_ns = memory.days, memory.looked_ns
            self._drift = self._judged()

    def _fits(self, day: _Day) -> bool:
        sizes = [len(counts) for counts in day.levels]
        return sizes == [len(_LEVEL_SHARES)] * len(self._names) and len(day.score) == len(self._score_shares)

    def _today(self, end_ns: int) -> _Day:
        number = end_ns // _DAY_NS
        if not self._days or self._days[-1].day != number:
            # Days behind the new one, of a clock that was wrong, count no more than those too long before it.
            recent = [day for day in self._days if number - _DAYS < day.day < number]
            levels = [[0] * len(_LEVEL_SHARES) for _ in self._names]
            self._days = [*recent, _Day(number, end_ns, 0, levels, [0] * len(self._score_shares))]
        return self._days[-1]

    def _judged(self) -> Drift:
        looks = sum(day.looks for day in self._days)
        passed_ns = (self._looked_ns or 0) - self._days[0].first_ns if self._days else 0
        if looks < _FEWEST_LOOKS or (passed_ns < _DAY_NS and len(self._days) < _DAYS):
            return Drift(largest=None, shifted=[], looks=looks)
        found = [(SCORE, stability_index(np.sum([day.score for day in self._days], axis=0), self._score_shares))]
        for row, name in enumerate(self._names):
            counts = np.sum([day.levels[row] for day in self._days], axis=0)
            found.append((name, stability_index(counts, _LEVEL_SHARES)))
        found.sort(key=lambda each: -each[1])
        shifted = [Shift(what=what, psi=round(psi, 3)) for what, psi in found if psi > SHIFTED]
        return Drift(largest=round(found[0][1], 3), shifted=shifted, looks=looks)


def stability_index(counts: npt.NDArray[np.integer], shares: npt.NDArray[np.float64]) -> float:
    """How far counted bins are from the shares that they should have."""
    seen = np.maximum(counts / counts.sum(), _LEAST_SHARE)
    usual = np.maximum(shares, _LEAST_SHARE)
    return float(((seen - usual) * np.log(seen / usual)).sum())


def _score_bins(calibration: Calibration) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Edges between bins of the score, and the share of normal windows in each."""
    if len(calibration.body_scores) < 2:
        return np.array([calibration.threshold]), np.array([1.0, 0.0])
    edges, rates = np.array(calibration.body_scores), np.array(calibration.body_rates)
    above = np.clip(rates / rates[0], 0.0, 1.0)
    # The lowest score is no edge: what lies below it belongs to the lowest bin.
    shares = -np.diff([*above, 0.0])
    return edges[1:], shares

"""What one machine's scores are held against, state by state, and how well that holds: its false alarms, its drift, its unknown states."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt

from agent.decide.achieved import Achieved, FalseAlarms
from agent.decide.adaptation import Adaptation
from agent.decide.alarm import Change
from agent.decide.calibration import Calibration, exceedances_per_hour
from agent.decide.drift import Drift, DriftMonitor
from agent.decide.lasting import Likelihood, normal_scores
from agent.decide.states import UNKNOWN, StateOf
from agent.snapshots import read_snapshot
from agent.types import NANOSECONDS, Float32Array, Verdict

Affine = tuple[Float32Array, Float32Array]  # scale and offset [channels, 1]
_DAY_NS = 86_400 * NANOSECONDS
_NS_PER_HOUR = 3_600 * NANOSECONDS


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """How well a machine's model and calibration fit it.

    `unknown_state` is the share of windows, as of the last day, in a transition or in a state that training never saw. `adapted` says how far
    the usual score has been followed, -1 to 1 of how far it may be; None where that is not wanted.
    """

    false_alarms: Achieved
    drift: Drift
    unknown_state: float
    adapted: float | None


class _Memory(msgspec.Struct):
    version: int
    false_alarms: msgspec.Raw
    drift: msgspec.Raw
    unknown_state: float
    adaptation: msgspec.Raw | None = None


@dataclass(slots=True)
class Yardstick:
    """One machine's. `calibrations` are those of states that have their own; all others are judged by `overall`.

    A window in no known state is judged by whichever calibration finds its score least strange.
    """

    overall: Calibration
    false_alarms: FalseAlarms
    drift: DriftMonitor
    hop_ns: int
    correction: Affine | None = None
    state_of: StateOf | None = None
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)
    seen: Collection[str] | None = None  # states that the calibrations know of; None where nobody noted them
    adaptation: Adaptation | None = None
    unknown_state: float = 0.0
    _windows: Counter[str] = field(default_factory=Counter)  # by state, since the last summary

    def model_input(self, values: Float32Array) -> Float32Array:
        """What the model is shown of a window's values [channels, time]."""
        return corrected(values, self.correction)

    def calibrations_of(self, values: Float32Array) -> tuple[Calibration, ...]:
        """What a window that can be judged is judged by, and counts its state."""
        if self.state_of is None:
            return (self.overall,)
        state = self._state(values)
        self._windows[UNKNOWN if state is None else state] += 1
        self.unknown_state += ((state is None) - self.unknown_state) * min(1.0, self.hop_ns / _DAY_NS)
        if state is None:
            return (self.overall, *self.calibrations.values())
        return (self.calibrations.get(state, self.overall),)

    def look(self, verdict: Verdict) -> None:
        """Take in a window that could be judged while the model's alarm was quiet and in the open."""
        self.false_alarms.watched()
        self.drift.look(verdict.window.values, verdict.score, verdict.window.end_ns)

    def learn(self, verdict: Verdict, *, alarmed: bool) -> None:
        """Follow the usual score, unless an alarm of the machine stands, or nobody wants that, or the machine is in no known state."""
        if self.adaptation is None:
            return
        window = verdict.window
        if alarmed:
            self.adaptation.hold(window.end_ns)
            return
        state = self._state(window.values)
        if self.state_of is None or state is not None:
            own = self.overall if state is None else self.calibrations.get(state, self.overall)
            self.adaptation.learn(verdict.score, window.end_ns, own)

    def take(self, change: Change) -> None:
        """Count what became of the model's alarm."""
        self.false_alarms.take(change)

    def _state(self, values: Float32Array) -> str | None:
        state = None if self.state_of is None else self.state_of(values)
        return state if self.seen is None or state in self.seen else None

    def hours_by_state(self) -> dict[str, float]:
        """Since the last time that this was asked."""
        hours = {state: count * self.hop_ns / _NS_PER_HOUR for state, count in sorted(self._windows.items())}
        self._windows.clear()
        return hours

    @property
    def shift(self) -> float:
        """What is taken off a score before it is judged."""
        return 0.0 if self.adaptation is None else self.adaptation.shift

    @property
    def fit(self) -> Fit:
        """How well it holds."""
        return Fit(
            false_alarms=self.false_alarms.report(),
            drift=self.drift.report,
            unknown_state=round(self.unknown_state, 4),
            adapted=None if self.adaptation is None else round(self.adaptation.share, 4),
        )

    def snapshot(self) -> bytes:
        """Everything that must outlive a restart."""
        parts = msgspec.Raw(self.false_alarms.snapshot()), msgspec.Raw(self.drift.snapshot())
        adaptation = None if self.adaptation is None else msgspec.Raw(self.adaptation.snapshot())
        return msgspec.json.encode(_Memory(1, *parts, self.unknown_state, adaptation))

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`; raises ValueError where it is damaged."""
        memory = read_snapshot(snapshot, _Memory, "how well the model fits")
        self.false_alarms.restore(bytes(memory.false_alarms))
        self.drift.restore(bytes(memory.drift))
        self.unknown_state = memory.unknown_state
        if self.adaptation is not None and memory.adaptation is not None:
            self.adaptation.restore(bytes(memory.adaptation))


def corrected(values: Float32Array, correction: Affine | None) -> Float32Array:
    """Values [channels, time] as the model knows them."""
    if correction is None:
        return values
    scale, offset = correction
    return values * scale + offset


def cautious(calibrations: Sequence[Calibration], scores: npt.ArrayLike) -> list[Likelihood]:
    """Of each of the scores [n] how likely it is at least, by any of the calibrations."""
    rates = [exceedances_per_hour(each, scores) for each in calibrations]
    normal = [normal_scores(each, rate) for each, rate in zip(calibrations, rates, strict=True)]
    return list(map(Likelihood, np.max(rates, axis=0).tolist(), np.min(normal, axis=0).tolist()))

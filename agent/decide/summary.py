"""What one machine's channels and scores were like in each interval of event time, lost data included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from agent.decide.achieved import Achieved
from agent.decide.kpi import Load
from agent.decide.tally import Statistics, Tally
from agent.types import Batch, Float32Array, Quality, Verdict

_FOLD_ROWS = 2_048  # samples of a device that are kept before they are counted together
# Samples past the open interval's end that wait for the next one: more than a backlog of 1 MiB of bytes decodes to.
_EARLY_ROWS = 65_536
_GATHERED_BATCHES = 64
_FOLD_SCORES = 512
_FLAG_NAMES = [str(flag.name).lower() for flag in Quality]  # one for each of the eight bits, lowest first


class ChannelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One channel's usable values; `lost` counts those that never arrived, were flagged, or were not finite.

    `flagged` counts values by what is wrong with them (names of `Quality`); one may have several flags.
    """

    channel: str  # DEVICE.CHANNEL
    unit: str  # UCUM
    lost: int
    flagged: dict[str, int]
    values: Statistics


class SummaryReport(msgspec.Struct, frozen=True, kw_only=True):
    """One machine from `start_ns` to `end_ns` of event time; JSON-ready, for no number in it is NaN or infinite.

    `start_ns` is the first sample's where the interval was entered midway. A day is made of the intervals that began in it. `lines` holds what the line of each of its devices went
    through since the report before; `alarms` is how heavily its alarms load whoever answers them, at the end of the interval.
    `states` are the hours in each operating state, where there are any; `false_alarms` is what the model has achieved so far.
    """

    machine: str
    period: Literal["interval", "day"] = "interval"
    start_ns: int
    end_ns: int
    channels: list[ChannelSummary]
    score: Statistics
    windows_scored: int
    windows_unknown: int
    alarms_raised: int
    lines: dict[str, dict[str, int]] = {}
    alarms: Load | None = None
    states: dict[str, float] = {}
    false_alarms: Achieved | None = None


class _DeviceRows:
    """Samples of one device: batches waiting to be counted, and what has been counted of this interval."""

    def __init__(self, columns: npt.NDArray[np.intp]) -> None:
        self.columns = columns
        self.waiting: list[Batch] = []
        self.rows = 0  # added since the last fold
        self.never_arrived = 0
        self.unusable = np.zeros(len(columns), np.int64)
        self.flagged = np.zeros((len(columns), 8), np.int64)  # by bit of `Quality`
        self.tally: Tally | None = None
        self._centre = np.zeros(len(columns), np.float32)

    def gather(self) -> Batch:
        """The waiting batches as one: several small ones take many times the memory of their values."""
        last = self.waiting[-1]
        whole = Batch(
            last.device,
            np.concatenate([batch.t_ns for batch in self.waiting]),
            np.concatenate([batch.values for batch in self.waiting]),
            np.concatenate([batch.quality for batch in self.waiting]),
            last.time_quality,
            sum(batch.lost for batch in self.waiting),
        )
        self.waiting = [whole]
        return whole

    def fold(self, end_ns: int) -> None:
        """Count what lies before `end_ns`; later samples go on waiting, up to a bound."""
        if not self.waiting:
            return
        whole = self.gather()
        self.waiting, self.rows = [], 0
        self.never_arrived += whole.lost
        values, quality = whole.values, whole.quality
        due = whole.t_ns < end_ns
        early = len(due) - int(np.count_nonzero(due))
        if 0 < early <= _EARLY_ROWS:
            later = ~due
            self.waiting = [Batch(whole.device, whole.t_ns[later], values[later], quality[later], whole.time_quality)]
            values, quality = values[due], quality[due]
        if len(values):
            self._count(values[:, self.columns], quality[:, self.columns])

    def begin(self) -> None:
        """The next interval; quantiles are finest about the last one's medians."""
        if self.tally is not None:
            self._centre = self.tally.centre(self._centre)
            self.tally = Tally(self._centre)
        self.never_arrived = 0
        self.unusable[:] = 0
        self.flagged[:] = 0

    @property
    def counted(self) -> Tally:
        """Of this interval, as far as it was folded."""
        return self.tally or Tally(self._centre)

    def _count(self, values: Float32Array, quality: npt.NDArray[np.uint8]) -> None:
        good: npt.NDArray[np.bool_] | None = None
        if np.count_nonzero(quality) or np.count_nonzero(np.isfinite(values)) != values.size:
            good = np.isfinite(values) & (quality == 0)
            self.unusable += (~good).sum(axis=0)
            self.flagged += np.unpackbits(quality[..., None], axis=2, bitorder="little").sum(axis=0, dtype=np.int64)
        if self.tally is None:
            self._centre = _first_centre(values, good)
            self.tally = Tally(self._centre)
        self.tally.add(values, good)


class Summary:
    """Reports of one machine, one for each multiple of `interval_ns`.

    Event time moves only by `close_before`, so that one absurd time stamp closes nothing. A sample that comes after its interval was
    reported counts in the open one, as does one so far ahead that keeping it would take unbounded memory.
    """

    def __init__(
        self,
        machine: str,
        names: Sequence[str],
        units: Sequence[str],
        feeds: Mapping[str, Sequence[tuple[int, int]]],
        interval_ns: int,
    ) -> None:
        """`names` (DEVICE.CHANNEL) and `units` in model order; `feeds` as for the aligner."""
        self._machine = machine
        self._names = names
        self._units = units
        self._interval_ns = interval_ns
        self._rows = {device: [row for _, row in pairs] for device, pairs in feeds.items()}
        self._devices = {
            device: _DeviceRows(np.array([column for column, _ in pairs], np.intp)) for device, pairs in feeds.items()
        }
        self._scores: list[float] = []
        self._latest: Tally | None = None
        self._order = np.argsort([row for rows in self._rows.values() for row in rows])
        self._start_ns: int | None = None  # before the first sample
        self._now_ns = self._end_ns = 0
        self._begin()

    @property
    def latest(self) -> Tally:
        """What the latest report was made of: the channels in model order, then the score."""
        assert self._latest is not None, "nothing was reported yet"
        return self._latest

    def add_samples(self, batch: Batch) -> None:
        """Take in a batch of one of the feeding devices; its arrays are kept for a while, so they must not be altered."""
        device = self._devices[batch.device]
        rows = len(batch.t_ns)
        if self._start_ns is None and rows:
            self._open(int(batch.t_ns[0]))
        device.waiting.append(batch)
        device.rows += rows
        if device.rows >= _FOLD_ROWS:
            device.fold(self._end_ns)
        elif len(device.waiting) >= _GATHERED_BATCHES:
            device.gather()

    def add_verdict(self, verdict: Verdict) -> None:
        """Count a window as scored or unknown."""
        if verdict.unknown is not None:
            self._unknown += 1
            return
        self._scored += 1
        self._scores.append(verdict.score)
        if len(self._scores) >= _FOLD_SCORES:
            self._fold_scores()

    def add_alarm(self) -> None:
        """Count an alarm raised."""
        self._alarms += 1

    def close_before(self, t_ns: int) -> SummaryReport | None:
        """Move event time to `t_ns`: the open interval's report once its end is reached, None before.

        Where time has gone back by more than an interval, as after a clock was set, the open one ends where it was.
        """
        if self._start_ns is None:
            return None
        if self._start_ns - self._interval_ns <= t_ns < self._end_ns:
            self._now_ns = max(self._now_ns, t_ns)
            return None
        return self.close(t_ns)

    def close(self, t_ns: int) -> SummaryReport | None:
        """Report the open interval as far as it has come by `t_ns`, at a stop say; None before the first sample."""
        if self._start_ns is None:
            return None
        end_ns = min(t_ns, self._end_ns) if t_ns >= self._start_ns else self._now_ns
        report = self._report(self._start_ns, end_ns)
        self._begin()
        self._open(t_ns - t_ns % self._interval_ns if t_ns >= self._end_ns else t_ns)
        return report

    def _open(self, start_ns: int) -> None:
        self._start_ns = self._now_ns = start_ns
        self._end_ns = start_ns - start_ns % self._interval_ns + self._interval_ns

    def _begin(self) -> None:
        for device in self._devices.values():
            device.begin()
        self._score_tally = Tally(np.zeros(1, np.float32))
        self._scored = self._unknown = self._alarms = 0

    def _fold_scores(self) -> None:
        if self._scores:
            self._score_tally.add(np.array(self._scores, np.float32)[:, None])
            self._scores.clear()

    def _report(self, start_ns: int, end_ns: int) -> SummaryReport:
        self._fold_scores()
        for device in self._devices.values():
            device.fold(self._end_ns)
        parts = [device.counted for device in self._devices.values()]
        self._latest = Tally.joined([*parts, self._score_tally], np.append(self._order, len(self._order)))
        *channels, score = self._latest.statistics()
        return SummaryReport(
            machine=self._machine,
            start_ns=start_ns,
            end_ns=end_ns,
            channels=self._channels(channels),
            score=score,
            windows_scored=self._scored,
            windows_unknown=self._unknown,
            alarms_raised=self._alarms,
        )

    def _channels(self, statistics: Sequence[Statistics]) -> list[ChannelSummary]:
        """Of all devices, in model order, as `statistics` are."""
        lost: dict[int, int] = {}
        flagged: dict[int, dict[str, int]] = {}
        for name, device in self._devices.items():
            gone = (device.unusable + device.never_arrived).tolist()
            for row, lost_values, bits in zip(self._rows[name], gone, device.flagged.tolist(), strict=True):
                lost[row] = lost_values
                flagged[row] = {flag: count for flag, count in zip(_FLAG_NAMES, bits, strict=True) if count}
        return [
            ChannelSummary(
                channel=self._names[row],
                unit=self._units[row],
                lost=lost[row],
                flagged=flagged[row],
                values=values,
            )
            for row, values in zip(sorted(lost), statistics, strict=True)
        ]


def _first_centre(values: Float32Array, good: npt.NDArray[np.bool_] | None) -> Float32Array:
    """The mean of each channel's first values; zero where it has none yet."""
    chosen = np.ones(values.shape, np.bool_) if good is None else good
    total = np.where(chosen, values, 0).sum(axis=0, dtype=np.float64)
    mean: Float32Array = (total / np.maximum(chosen.sum(axis=0), 1)).astype(np.float32)
    return mean

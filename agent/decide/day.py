"""A machine's day, gathered from the reports of its intervals and kept through restarts; no sample is looked at twice for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from agent.decide.summary import SummaryReport
from agent.decide.tally import Tally, TallyMemory
from agent.errors import UNREADABLE
from agent.types import NANOSECONDS

DAY_NS = 86_400 * NANOSECONDS
# The state is a few KiB a channel; a power cut may take this much of event time from it.
_KEPT_EVERY_NS = 600 * NANOSECONDS


class _Memory(msgspec.Struct, frozen=True, kw_only=True):
    version: int = 1
    of: list[str]
    report: SummaryReport
    tally: TallyMemory


class Day:
    """Days are those of event time, UTC; an interval belongs to the one in which it began, so intervals should divide a day evenly.

    Its quantiles are as near as those of an interval, but within 1/32 of their distance from the usual level.
    """

    def __init__(self, of: Sequence[str]) -> None:
        """`of` names the channels: what was kept of others is not added to. A day in which the model was exchanged holds the scores of both."""
        self._of = list(of)
        self._sums: SummaryReport | None = None  # all but the statistics
        self._tally: Tally | None = None
        self._kept_ns: int | None = None

    def take(self, report: SummaryReport, tally: Tally) -> list[SummaryReport]:
        """Add an interval with what it was made of (`Summary.latest`, which becomes the day's own); returns the days that are over with it."""
        over = []
        if self._sums is not None and _day(self._sums) != _day(report):
            over.append(self._close())
        if self._sums is None or self._tally is None:
            self._sums, self._tally = msgspec.structs.replace(report, period="day"), tally
        else:
            self._sums = _sum(self._sums, report)
            self._tally.merge(tally)
        if report.end_ns >= (_day(report) + 1) * DAY_NS:
            over.append(self._close())
        return over

    def is_due(self) -> bool:
        """Whether the snapshot is to be kept: it is new, or enough of event time has passed since the last one that was due."""
        at_ns = 0 if self._sums is None else self._sums.end_ns
        if self._kept_ns is not None and 0 <= at_ns - self._kept_ns < _KEPT_EVERY_NS:
            return False
        self._kept_ns = at_ns
        return True

    def snapshot(self) -> bytes:
        """Everything that must outlive a restart; empty between two days."""
        if self._sums is None or self._tally is None:
            return b""
        return msgspec.msgpack.encode(_Memory(of=self._of, report=self._sums, tally=self._tally.memory))

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`, or anew where it is of others; raises ValueError, and changes nothing, where it is damaged."""
        if not snapshot:
            return
        try:
            memory = msgspec.msgpack.decode(snapshot, type=_Memory)
            tally = Tally.remembered(memory.tally)
        except (*UNREADABLE, ValueError) as error:
            raise ValueError(f"the day so far cannot be read: {error}") from error
        if memory.of == self._of:
            self._sums, self._tally = memory.report, tally

    def _close(self) -> SummaryReport:
        assert self._sums is not None, "a day that was begun"
        assert self._tally is not None, "a day that was begun"
        *values, score = self._tally.statistics()
        channels = [
            msgspec.structs.replace(channel, values=each)
            for channel, each in zip(self._sums.channels, values, strict=True)
        ]
        whole = msgspec.structs.replace(self._sums, channels=channels, score=score)
        self._sums = self._tally = None
        return whole


def _day(report: SummaryReport) -> int:
    return report.start_ns // DAY_NS


def _sum(day: SummaryReport, report: SummaryReport) -> SummaryReport:
    """Both, as far as they are counts; what is no count is the later one's."""
    channels = [
        msgspec.structs.replace(one, lost=one.lost + other.lost, flagged=_counts(one.flagged, other.flagged))
        for one, other in zip(day.channels, report.channels, strict=True)
    ]
    return msgspec.structs.replace(
        report,
        period="day",
        start_ns=day.start_ns,
        channels=channels,
        windows_scored=day.windows_scored + report.windows_scored,
        windows_unknown=day.windows_unknown + report.windows_unknown,
        alarms_raised=day.alarms_raised + report.alarms_raised,
        lines={device: _counts(day.lines.get(device, {}), counts) for device, counts in report.lines.items()},
        states={
            state: day.states.get(state, 0.0) + report.states.get(state, 0.0)
            for state in sorted(day.states.keys() | report.states.keys())
        },
    )


def _counts(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}

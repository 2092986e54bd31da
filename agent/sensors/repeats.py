"""Stuck: a value that repeats itself for longer than its noise, or its profile, allows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.decode.schema import Channel
from agent.sensors.faults import Fault
from agent.sensors.limits import Limits
from agent.sensors.rows import BoolArray, Columns, Finding, Float64Array, Rows, latest, shifted
from agent.types import NANOSECONDS, Int64Array

_NEVER = 1 << 62
# Two equal values far apart in time are no proof of anything.
_FEWEST_BY_TIME = 3


class Repeats:
    """Counts how often each channel has repeated its value, on the grid of its resolution."""

    def __init__(self, columns: Columns, channels: Sequence[Channel], limits: Sequence[Limits]) -> None:
        """`channels` and `limits` are those of `columns`."""
        self._columns = columns
        self._steps = np.array([limit.step or np.nan for limit in limits])
        self._offsets = np.array([channel.offset for channel in channels])
        by_time = [channel.stuck_after_s is not None for channel in channels]
        self._doubtful = np.array(
            [
                _NEVER if timed else limit.doubtful_repeats or _NEVER
                for timed, limit in zip(by_time, limits, strict=True)
            ]
        )
        self._stuck_ns = np.array([_ns(channel.stuck_after_s) for channel in channels])
        self._is_timed = any(by_time)
        self._last = np.full(len(columns), np.nan)
        self._repeats: Int64Array = np.zeros(len(columns), np.int64)
        self._began_ns: Int64Array = np.zeros(len(columns), np.int64)

    def judge(self, rows: Rows) -> list[Finding]:
        """The values that repeat for too long."""
        values, usable = rows.pick(self._columns)
        codes = self._codes(values)
        known = latest(codes, usable, self._last)
        same = codes == shifted(known, self._last)
        changed = ~same
        if usable is not None:
            same &= usable
            changed &= usable
        if rows.resting is not None:
            resting = rows.resting[:, self._columns]
            changed |= same & resting
            same &= ~resting
        self._last = known[-1]
        repeats, age_ns = self._count(same, changed, rows.talk_ns)
        too_old = same & (age_ns >= self._stuck_ns) & (repeats >= _FEWEST_BY_TIME) if self._is_timed else False
        masked = (same & (repeats >= self._doubtful)) | too_old
        if not masked.any():
            return []
        evident = (same & (repeats // 2 >= self._doubtful)) | too_old
        return [Finding(Fault.STUCK, self._columns, masked, evident)]

    def _codes(self, values: Float64Array) -> Float64Array:
        """Values as numbers of steps; as they are where the step is unknown."""
        return np.where(np.isnan(self._steps), values, np.rint((values - self._offsets) / self._steps))

    def _count(self, same: BoolArray, changed: BoolArray, talk_ns: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Repeats of the current value up to each row [n, k], and how long it has lasted."""
        total = np.cumsum(same, axis=0)
        at_change = np.maximum.accumulate(np.where(changed, total, -1))
        repeats = np.where(at_change < 0, total + self._repeats, total - at_change)
        self._repeats = repeats[-1]
        if not self._is_timed:
            return repeats, repeats
        began_ns = np.maximum.accumulate(np.where(changed, talk_ns[:, None], -1))
        began_ns = np.where(began_ns < 0, self._began_ns, began_ns)
        self._began_ns = began_ns[-1]
        return repeats, talk_ns[:, None] - began_ns


def _ns(seconds: float | None) -> int:
    return _NEVER if seconds is None else round(seconds * NANOSECONDS)

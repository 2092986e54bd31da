"""Time bases of a device's own UTC stamps and of arrival; the counter's is in `timebase_counter`."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from agent.decode.pieces import BoolArray
from agent.types import NANOSECONDS, Int64Array


class DeviceTime:
    """The device's own stamps, with the few that a broken digit or a flipped bit threw far away left out."""

    def __init__(self, max_step_ns: int) -> None:
        self._max_step_ns = max_step_ns
        self._last: int | None = None
        self._suspect: int | None = None

    def plausible(self, time_ns: Int64Array) -> BoolArray:
        """Tell which stamps to keep, bool [n]: False where a stamp steps by more than max_step_ns from the last good one.

        Such a stamp is dropped; if the next one agrees with it, the device's clock was set, and time goes on from there.
        """
        if len(time_ns) == 0:
            return np.empty(0, dtype=bool)
        last = int(time_ns[0]) if self._last is None else self._last
        if self._suspect is None and int(np.abs(np.diff(time_ns, prepend=last)).max()) <= self._max_step_ns:
            self._last = int(time_ns[-1])
            return np.ones(len(time_ns), dtype=bool)
        self._last = last
        return np.array([self._judge(stamp) for stamp in time_ns.tolist()], dtype=bool)

    def _judge(self, stamp: int) -> bool:
        references = [self._last] if self._suspect is None else [self._last, self._suspect]
        near = any(reference is not None and abs(stamp - reference) <= self._max_step_ns for reference in references)
        if near:
            self._last, self._suspect = stamp, None
        else:
            self._suspect = stamp
        return near


class ArrivalTime:
    """Arrival times; samples that arrived together are spaced back by the nominal period, the newest at the arrival."""

    def __init__(self, rate_hz: float) -> None:
        self._period_ns = NANOSECONDS / rate_hz
        self._arrived_ns = 0
        self._last_ns: int | None = None

    def stamp(self, arrived_ns: Int64Array) -> Int64Array:
        """Event times int64 [n], strictly increasing; samples that arrived in one chunk share one value of arrived_ns."""
        if len(arrived_ns) == 0:
            return np.empty(0, dtype=np.int64)
        newest = newest_of_chunks(arrived_ns)
        behind = np.repeat(newest, np.diff(newest, prepend=-1)) - np.arange(len(arrived_ns))
        time_ns = arrived_ns - np.rint(behind * self._period_ns).astype(np.int64)
        # Only on a host without a monotonic clock is an arrival ever before the last one.
        set_back = np.diff(arrived_ns, prepend=self._arrived_ns) < -NANOSECONDS
        self._arrived_ns = int(arrived_ns[-1])
        parts = []
        for start, end in pairwise(sorted({0, *np.flatnonzero(set_back).tolist(), len(arrived_ns)})):
            parts.append(increasing(time_ns[start:end], None if set_back[start] else self._last_ns))
            self._last_ns = int(parts[-1][-1])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def newest_of_chunks(arrived_ns: Int64Array) -> Int64Array:
    """Index of the last sample of each chunk, int64 [chunks]."""
    return np.append(np.flatnonzero(np.diff(arrived_ns)), len(arrived_ns) - 1)


def increasing(time_ns: Int64Array, last_ns: int | None) -> Int64Array:
    """`time_ns` int64 [n] made strictly increasing, and later than `last_ns`; itself where it is."""
    if len(time_ns) == 0:
        return time_ns
    follows = last_ns is None or int(time_ns[0]) > last_ns
    if follows and not np.count_nonzero(time_ns[1:] <= time_ns[:-1]):
        return time_ns
    steps = np.arange(len(time_ns))
    if last_ns is not None and not follows:
        time_ns = np.maximum(time_ns, last_ns + 1 + steps)
    return np.asarray(np.maximum.accumulate(time_ns - steps) + steps)

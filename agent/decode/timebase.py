"""Time bases: when each sample was taken, by the device's clock, by its sample counter, or by arrival."""

from __future__ import annotations

import numpy as np

from agent.decode.records import BoolArray
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


class CounterTime:
    """Sample position divided by the nominal rate, tied to arrival times.

    The newest sample of the first chunk was taken when that chunk arrived. Where a chunk's newest sample departs from
    its arrival by more than max_departure_ns (drift of the device's crystal, a reset, samples lost by whole wraps), it is
    tied anew, so that a stamp is never wrong by more than that bound and the delay of the line.
    """

    def __init__(self, rate_hz: float, max_departure_ns: int) -> None:
        self._period_ns = NANOSECONDS / rate_hz
        self._max_departure_ns = max_departure_ns
        self._anchor: tuple[int, int] | None = None  # a position and its time
        self._last_ns: int | None = None
        self.reanchored = 0

    def stamp(self, position: Int64Array, arrived_ns: Int64Array) -> Int64Array:
        """Event times int64 [n], strictly increasing, of samples at unwrapped counter `position` int64 [n].

        Samples that arrived in one chunk share one value of arrived_ns int64 [n].
        """
        if len(position) == 0:
            return np.empty(0, dtype=np.int64)
        newest = _newest_of_chunks(arrived_ns)
        if self._anchor is None:
            self._anchor = (int(position[newest[0]]), int(arrived_ns[newest[0]]))
        origin, origin_ns = self._anchor
        time_ns = origin_ns + np.rint((position - origin) * self._period_ns).astype(np.int64)
        departure = time_ns[newest] - arrived_ns[newest]
        if int(np.abs(departure).max()) > self._max_departure_ns:
            time_ns += np.repeat(self._shifts(departure), np.diff(newest, prepend=-1))
        # Anchored at the last sample, a shift carries over to the next call.
        self._anchor = (int(position[-1]), int(time_ns[-1]))
        time_ns = increasing(time_ns, self._last_ns, 2 * self._max_departure_ns)
        self._last_ns = int(time_ns[-1])
        return time_ns

    def _shifts(self, departure: Int64Array) -> Int64Array:
        """How far each chunk is moved: by nothing until one departs too far, from then on by what brings that one back."""
        shifts, shift = [], 0
        for chunk_departure in departure.tolist():
            if abs(chunk_departure + shift) > self._max_departure_ns:
                shift = -chunk_departure
                self.reanchored += 1
            shifts.append(shift)
        return np.array(shifts, dtype=np.int64)


class ArrivalTime:
    """Arrival times; samples that arrived together are spaced back by the nominal period, the newest at the arrival."""

    def __init__(self, rate_hz: float) -> None:
        self._period_ns = NANOSECONDS / rate_hz
        self._last_ns: int | None = None

    def stamp(self, arrived_ns: Int64Array) -> Int64Array:
        """Event times int64 [n], strictly increasing; samples that arrived in one chunk share one value of arrived_ns."""
        if len(arrived_ns) == 0:
            return np.empty(0, dtype=np.int64)
        newest = _newest_of_chunks(arrived_ns)
        behind = np.repeat(newest, np.diff(newest, prepend=-1)) - np.arange(len(arrived_ns))
        time_ns = arrived_ns - np.rint(behind * self._period_ns).astype(np.int64)
        time_ns = increasing(time_ns, self._last_ns, NANOSECONDS)
        self._last_ns = int(time_ns[-1])
        return time_ns


def _newest_of_chunks(arrived_ns: Int64Array) -> Int64Array:
    """Index of the last sample of each chunk, int64 [chunks]."""
    return np.append(np.flatnonzero(np.diff(arrived_ns)), len(arrived_ns) - 1)


def increasing(time_ns: Int64Array, last_ns: int | None, max_overlap_ns: int) -> Int64Array:
    """`time_ns` int64 [n] made strictly increasing, and later than `last_ns`.

    Where it begins more than max_overlap_ns before last_ns, the host's clock was set back, and the earlier times stand.
    """
    steps = np.arange(len(time_ns))
    if last_ns is not None and last_ns - max_overlap_ns <= int(time_ns[0]) <= last_ns:
        time_ns = np.maximum(time_ns, last_ns + 1 + steps)
    return np.asarray(np.maximum.accumulate(time_ns - steps) + steps)

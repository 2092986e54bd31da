"""Counter time: event times by a regression of arrivals on the sample counter, slewed so that time never runs backwards."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from agent.decode.pieces import BoolArray
from agent.decode.records import FloatArray
from agent.decode.timebase import increasing, newest_of_chunks
from agent.decode.timebase_line import ArrivalLine
from agent.types import NANOSECONDS, Int64Array

# What departs from the regression's line is made up for in about this time, by at most so much a second.
_SLEW_NS = 2e9
_MOST_SLEW = 0.5
# A device that stays behind for so long, by both clocks, is not late: it paused, or its counter went round unseen.
_CONFIRM_NS = 2e9
_CONFIRM_PERIODS = 4
_FAR_NS = float(1 << 61)  # 73 years

Segment = tuple[float, float, float]  # x and departure of a point, and the slope there


class CounterTime:
    """Event times of samples: their positions times the period, plus a slowly moving departure, from the first arrival on.

    The departure follows the line below all arrivals (`ArrivalLine`) about 2 s behind, so that event times are smooth and increase, and are
    later than the true ones by the link's least delay, whatever its jitter. A sample that arrives late is stamped as if it had not. Time
    jumps, and `reanchored` counts it, only where arrivals contradict it by more than max_departure_ns: at once where it is ahead of
    them, after 2 s where the device stays behind without catching up. A backlog that drains counts once.

    The times depend on the chunks alone, not on how these are grouped into calls (two chunks of one arrival count as one).
    """

    def __init__(self, rate_hz: float, max_departure_ns: int) -> None:
        self.line = ArrivalLine(NANOSECONDS / rate_hz)
        self.reanchored = 0
        self._period_ns = NANOSECONDS / rate_hz
        self._confirm_ns = max(_CONFIRM_NS, _CONFIRM_PERIODS * self._period_ns)
        self._max_departure_ns = max_departure_ns
        self._origin: tuple[int, int] | None = None  # a position and its arrival; x and y count from them
        self._segment: Segment = (math.inf, 0.0, 0.0)  # so that the first chunk is behind it
        self._begins = True
        self._doubt: tuple[float, float, float] | None = None  # since when samples are late: x, y + x, how late
        self._contradicted_ns = -math.inf  # counted from the first arrival
        self._newest = 0
        self._arrived_ns = 0
        self._last_ns: int | None = None

    def stamp(self, position: Int64Array, arrived_ns: Int64Array, anew: BoolArray | None = None) -> Int64Array:
        """Event times int64 [n] of samples at unwrapped counter `position` int64 [n].

        Samples that arrived in one chunk share one value of arrived_ns int64 [n]; `anew` bool [n] is True at a sample before which the counter
        lost its thread. Times increase strictly but for samples that are older than one before: their times lie between.
        """
        if len(position) == 0:
            return np.empty(0, dtype=np.int64)
        if self._origin is None:
            self._origin = (int(position[0]), int(arrived_ns[0]))
            self._arrived_ns, self._newest = int(arrived_ns[0]), int(position[0]) - 1
        before_ns, self._arrived_ns = self._arrived_ns, int(arrived_ns[-1])
        restarts = anew is not None and bool(np.count_nonzero(anew))
        if not restarts and int(arrived_ns[0]) >= before_ns and not np.count_nonzero(arrived_ns[1:] < arrived_ns[:-1]):
            return self._stamp(position, arrived_ns, self._origin)
        # Only a host without a monotonic clock, or a recording without its times, is ever set back.
        set_back = np.diff(arrived_ns, prepend=before_ns) < -self._max_departure_ns
        breaks = set_back if anew is None else set_back | anew
        parts = []
        for start, end in pairwise(sorted({0, *np.flatnonzero(breaks).tolist(), len(position)})):
            if breaks[start]:
                self._begins, self._newest = True, int(position[start]) - 1
            if set_back[start]:
                self._last_ns = None
            parts.append(self._stamp(position[start:end], arrived_ns[start:end], self._origin))
        return np.concatenate(parts)

    def _stamp(self, position: Int64Array, arrived_ns: Int64Array, origin: tuple[int, int]) -> Int64Array:
        in_order = int(position[0]) > self._newest and _in_order(position)
        if in_order and int(arrived_ns[0]) == int(arrived_ns[-1]):
            return self._stamp_chunk(position, int(arrived_ns[0]), origin)
        newest = position if in_order else np.maximum.accumulate(np.maximum(position, self._newest))
        ends = newest_of_chunks(arrived_ns)
        at_x = ((newest[ends] - origin[0]) * self._period_ns).tolist()
        arrivals = (arrived_ns[ends] - origin[1]).tolist()
        segments = np.array([self._advance(x, arrival - x) for x, arrival in zip(at_x, arrivals, strict=True)])
        counts = np.diff(ends, prepend=-1)
        x0, departure, slope = (np.repeat(column, counts) for column in segments.T)
        x = (position - origin[0]) * self._period_ns
        moved = x - x0
        moved *= slope
        x += departure
        x += moved
        time_ns = origin[1] + _whole(x)
        if in_order:
            time_ns = increasing(time_ns, self._last_ns)
            self._last_ns = int(time_ns[-1])
        else:
            ahead = position > np.concatenate(([self._newest], newest[:-1]))
            if np.count_nonzero(ahead):
                time_ns[ahead] = increasing(time_ns[ahead], self._last_ns)
                self._last_ns = int(time_ns[ahead][-1])
        self._newest = int(newest[-1])
        return time_ns

    def _stamp_chunk(self, position: Int64Array, arrived_ns: int, origin: tuple[int, int]) -> Int64Array:
        """The usual case, kept cheap: one chunk of new samples in order, which all lie on one segment."""
        self._newest = int(position[-1])
        newest_x = (self._newest - origin[0]) * self._period_ns
        x0, departure, slope = self._advance(newest_x, arrived_ns - origin[1] - newest_x)
        x = (position - origin[0]) * self._period_ns
        time_ns = origin[1] + _whole(x + departure + slope * (x - x0))
        if self._last_ns is not None and int(time_ns[0]) <= self._last_ns:
            time_ns = increasing(time_ns, self._last_ns)
        self._last_ns = int(time_ns[-1])
        return time_ns

    def _advance(self, x: float, y: float) -> Segment:
        """Take in a chunk by its newest sample; returns the segment on which its samples lie."""
        x0, departure, slope = self._segment
        line = self.line
        if self._begins:
            self._begins = False
            if x <= x0 or abs(departure + slope * (x - x0) - y) > self._max_departure_ns:
                return self._anchor(x, y)
            line.begin(x, y)
        elif x <= x0:  # nothing but late samples
            return self._segment
        else:
            line.add(x, y)
        slew = (line.at(x0) - departure) / max(_SLEW_NS, x - x0)
        slope = line.drift + max(-_MOST_SLEW, min(_MOST_SLEW, slew))
        reached = departure + slope * (x - x0)
        if reached - y > self._max_departure_ns or self._stays_behind(x, y):
            # While a backlog drains, every chunk contradicts.
            self.reanchored += x + y - self._contradicted_ns > _CONFIRM_NS
            self._contradicted_ns = x + y
            return self._anchor(x, y)
        self._segment = (x, reached, slope)
        return x0, departure, slope

    def _anchor(self, x: float, y: float) -> Segment:
        """The newest sample was taken when it arrived."""
        self.line.begin(x, y)
        self._doubt = None
        self._segment = (x, y, self.line.drift)
        return self._segment

    def _stays_behind(self, x: float, y: float) -> bool:
        """Whether the samples have been late for long without catching up."""
        late = y - self.line.at(x)
        if late <= self._max_departure_ns:
            self._doubt = None
        elif self._doubt is None or late < self._doubt[2] - self._max_departure_ns / 2:
            self._doubt = (x, x + y, late)
        else:
            return x - self._doubt[0] >= self._confirm_ns and x + y - self._doubt[1] >= self._confirm_ns
        return False


def _whole(time_ns: FloatArray) -> Int64Array:
    """Rounded, in place; what a garbled counter threw beyond all bounds stays within int64."""
    np.maximum(time_ns, -_FAR_NS, out=time_ns)
    np.minimum(time_ns, _FAR_NS, out=time_ns)
    return np.rint(time_ns, out=time_ns).astype(np.int64)


def _in_order(position: Int64Array) -> bool:
    return not np.count_nonzero(position[1:] <= position[:-1])

"""The line below arrivals: how a device's clock runs against the host's, when all that is seen is the clock plus a delay.

A sample arrives when it was taken, plus a delay that is never negative and often far from its mean: reads, USB frames and MQTT batch. The
mean of such delays tells little, their floor much: of n uniform delays the mean is known to 1/sqrt(n), the least to 1/n. So the line is
the highest one that no arrival lies below, by the least sum of distances, which is the edge of the lower convex hull over the mean
abscissa (Moon, Skelly, Towsley: Estimation and removal of clock skew from network delay measurements, INFOCOM 1999). Where few
points are known, the rate is held near what was expected: delays taken as exponential and departures of the rate as Laplace, the most likely
line is the hull's edge some way before or behind that abscissa, or the level line where neither edge leans the right way.
"""

from __future__ import annotations

import math
from itertools import pairwise

_SLOTS = 128
_FIRST_SLOT_NS = 0.25e9
_LAST_SLOT_NS = 4e9  # so that the memory is 512 s
_SLOT_PERIODS = 8  # and at least so many samples of a slow device
_HALF_LIFE_SLOTS = 32  # what is older counts half, since drift changes with temperature
_USUAL_DRIFT = 2e-4  # of a crystal, or of a trimmed oscillator
_LEAST_NOISE_NS = 1e6  # two points show none
_SETTLED_NS = 10e9
_SETTLED_SLOTS = 16
_MOST_DRIFT = 0.1  # beyond it the profile states another rate than the device's

Point = tuple[float, float]


class ArrivalLine:
    """y = departure + drift * x below all points of a sliding memory, x and y in nanoseconds.

    x is the nominal time of a sample by its counter, y its arrival less x. `drift` is dimensionless: 1e-6 where the device
    loses a microsecond a second. `residual_ns` is the mean distance of arrivals from the line. Both mean something once `settled`.
    """

    def __init__(self, period_ns: float) -> None:
        self.drift = 0.0
        self.residual_ns = 0.0
        self.settled = False
        self._first_slot_ns = max(_FIRST_SLOT_NS, period_ns)
        self._last_slot_ns = max(_LAST_SLOT_NS, _SLOT_PERIODS * period_ns)
        self._expected = 0.0
        self._x = self._y = 0.0  # a point of the line
        self._slot_ns = self._first_slot_ns
        self._slot = _Slot(self._slot_ns, 0.0, 0.0)
        self._slots = [self._slot]

    @property
    def drift_ppm(self) -> float:
        """How much faster than nominal the device's clock runs, by the host's."""
        return -1e6 * self.drift / (1.0 + self.drift)

    def at(self, x: float) -> float:
        """The line's y."""
        return self._y + self.drift * (x - self._x)

    def begin(self, x: float, y: float) -> None:
        """Forget all points but this one, and expect the rate that was found so far."""
        self._expected = self.drift
        self._x, self._y = x, y
        self._slot_ns = self._first_slot_ns
        self._slot = _Slot(x // self._slot_ns * self._slot_ns + self._slot_ns, x, y)
        self._slots = [self._slot]

    def add(self, x: float, y: float) -> None:
        """Take in the next point; the line moves when a slot of the memory is full."""
        slot = self._slot
        if x < slot.end:
            slot.add(x, y, self.drift)
            return
        self._solve()
        slot_ns = self._slot_ns
        self._slot = _Slot(x // slot_ns * slot_ns + slot_ns, x, y)
        self._slots.append(self._slot)
        self._forget(x)

    def _forget(self, x: float) -> None:
        """Keep the memory to its number of slots, twice as long ones at first, and then to its length."""
        if len(self._slots) > _SLOTS and 2 * self._slot_ns <= self._last_slot_ns:
            self._slot_ns *= 2
            self._slots = _paired(self._slots, self._slot_ns, self.drift)
            self._slot = self._slots[-1]
        oldest = x - _SLOTS * self._slot_ns
        while self._slots[0].end < oldest:
            del self._slots[0]

    def _solve(self) -> None:
        """Lay the line anew."""
        slots, expected = self._slots, self._expected
        newest = slots[-1].end
        faded = _HALF_LIFE_SLOTS * self._last_slot_ns
        count = sum_x = sum_y = 0.0
        for slot in slots:
            weight = 2.0 ** ((slot.end - newest) / faded)
            count += weight * slot.count
            sum_x += weight * slot.sum_x
            sum_y += weight * slot.sum_y
        mean_x, mean_y = sum_x / count, sum_y / count
        hull = _lower_hull([(slot.x, slot.y - expected * slot.x) for slot in slots])
        (x, y), lean = _edge(hull, mean_x, mean_y - expected * mean_x, _USUAL_DRIFT * count)
        self.drift = max(-_MOST_DRIFT, min(_MOST_DRIFT, expected + lean))
        self._x, self._y = x, y + expected * x
        self.residual_ns = max(0.0, mean_y - self.at(mean_x))
        self.settled |= len(slots) >= _SETTLED_SLOTS and slots[-1].x - slots[0].x >= _SETTLED_NS


class _Slot:
    """A stretch of the memory up to `end`: its lowest point, and the sums over all its points."""

    __slots__ = ("count", "end", "sum_x", "sum_y", "x", "y")

    def __init__(self, end: float, x: float, y: float) -> None:
        self.end = end
        self.count = 1
        self.x = self.sum_x = x
        self.y = self.sum_y = y

    def add(self, x: float, y: float, drift: float) -> None:
        self.count += 1
        self.sum_x += x
        self.sum_y += y
        if y - self.y <= drift * (x - self.x):
            self.x, self.y = x, y

    def join(self, later: _Slot, drift: float) -> None:
        """Take in the slot after this one."""
        self.count += later.count
        self.sum_x += later.sum_x
        self.sum_y += later.sum_y
        if later.y - self.y <= drift * (later.x - self.x):
            self.x, self.y = later.x, later.y


def _paired(slots: list[_Slot], slot_ns: float, drift: float) -> list[_Slot]:
    """Slots of half of slot_ns as slots of slot_ns."""
    paired: list[_Slot] = []
    for slot in slots:
        slot.end = math.ceil(slot.end / slot_ns) * slot_ns
        if paired and paired[-1].end == slot.end:
            paired[-1].join(slot, drift)
        else:
            paired.append(slot)
    return paired


def _lower_hull(points: list[Point]) -> list[Point]:
    """Andrew's monotone chain over points in the order of x."""
    hull: list[Point] = []
    for x, y in points:
        while len(hull) > 1:
            (x1, y1), (x2, y2) = hull[-2], hull[-1]
            if (y2 - y1) * (x - x1) < (y - y1) * (x2 - x1):
                break
            hull.pop()
        hull.append((x, y))
    return hull


def _edge(hull: list[Point], mean_x: float, mean_y: float, certainty: float) -> tuple[Point, float]:
    """A point of the most likely line, and its slope; `certainty` is the number of points times the usual slope."""
    edges = [(before, after, (after[1] - before[1]) / (after[0] - before[0])) for before, after in pairwise(hull)]
    noise = min(
        (mean_y - y1 - slope * (mean_x - x1) for (x1, y1), (x2, _), slope in edges if x1 <= mean_x <= x2), default=0.0
    )
    reach = max(_LEAST_NOISE_NS, noise) / certainty
    for before, after, slope in edges:
        if slope > 0 and before[0] <= mean_x - reach < after[0]:
            return before, slope
        if slope < 0 and before[0] < mean_x + reach <= after[0]:
            return after, slope
    return min(hull, key=lambda point: point[1]), 0.0

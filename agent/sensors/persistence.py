"""On and off delays of one fault of one channel, so that its state does not chatter."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from agent.sensors.faults import Meaning
from agent.types import NANOSECONDS

# A fault is over after so many sound values and so long a time; a technician sees each for at least that long.
OFF_VALUES = 16
OFF_NS = 10 * NANOSECONDS


class Persistence:
    """Places are counts of the channel's values, times those of the device's talk; neither depends on batches.

    `is_on` says whether the fault stands, `changes` how often it came and went.
    """

    def __init__(self, meaning: Meaning) -> None:
        self.is_on = False
        self.changes = 0
        self._within = meaning.within
        self._recent: deque[int] = deque(maxlen=meaning.count)
        self._place = self._time_ns = 0  # of the latest bad value

    def bad(self, place: int, time_ns: int) -> None:
        """A bad value; whatever came before it has been told by `heard`."""
        self._place, self._time_ns = place, time_ns
        if self.is_on:
            return
        self._recent.append(place)
        if len(self._recent) == self._recent.maxlen and place - self._recent[0] < self._within:
            self.is_on = True
            self.changes += 1

    def heard(self, place: int, time_ns: int) -> None:
        """The channel had a value here; the fault is over where it was sound, like all since long before."""
        if self.is_on and place - self._place >= OFF_VALUES and time_ns - self._time_ns >= OFF_NS:
            self.is_on = False
            self.changes += 1
            self._recent.clear()

    def goes_on(self, places: Sequence[int], time_ns: int) -> bool:
        """Note bad values, the last at `time_ns`, at once where the fault stands and no pause among them could have ended it."""
        pauses = [after - before for before, after in pairwise([self._place, *places])]
        if not self.is_on or max(pauses) >= OFF_VALUES:
            return False
        self._place, self._time_ns = places[-1], time_ns
        return True

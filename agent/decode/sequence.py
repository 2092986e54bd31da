"""The sequence counter: which samples are new, which are repeats, and how many never arrived."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from agent.decode.records import BoolArray
from agent.types import Int64Array

_REPEAT_REACH = 64


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """`fresh` bool [n]: the samples to keep; `position` int64 [n]: the counter without its wraps, from zero at the first sample;
    `anew` bool [n]: the samples before which the device started anew; `late`: how many of the fresh fill a gap.
    """

    fresh: BoolArray
    position: Int64Array
    anew: BoolArray
    lost: int
    repeated: int
    late: int

    @property
    def resets(self) -> int:
        """How often the device started anew."""
        return int(np.count_nonzero(self.anew))


class SequenceTracker:
    """Follows a counter that wraps at `modulus`; samples come in frames of `frame_samples`.

    A step forward of d means d - 1 lost samples (a gap longer than half the counter's range cannot be told from a reset). A
    step back of up to 64 frames (or an eighth of the range, or `max_late`) is a repeat; a longer one is the device starting anew, after
    which counting goes on from there and nothing is called lost. A sample that fills a gap is taken once if it comes while it is at most
    `max_late` samples older than the newest; only after that is it called lost.
    """

    def __init__(self, modulus: int, frame_samples: int = 1, max_late: int = 0) -> None:
        self._modulus = modulus
        self._max_late = max_late
        self._reach = max(max_late, min(_REPEAT_REACH * frame_samples, max(self._modulus // 8, frame_samples)))
        self._last = -1
        self._position = 0
        self._newest = 0
        self._awaited: deque[int] = deque()  # positions of a gap, oldest first

    def track(self, counters: Int64Array) -> Counted:
        """Judge the raw counters int64 [n] of the next samples, in the order of their arrival."""
        if len(counters) == 0:
            nothing = np.empty(0, dtype=bool)
            return Counted(nothing, np.empty(0, dtype=np.int64), nothing, 0, 0, 0)
        counters = counters % self._modulus
        if self._last < 0:  # as if the sample before the first had been seen
            self._last, self._position, self._newest = int(counters[0]) - 1, -1, -1
        half = self._modulus // 2
        steps = (np.diff(counters, prepend=self._last) + half) % self._modulus - half
        anew = steps < -self._reach
        steps[anew] = 1
        position = self._position + np.cumsum(steps)
        self._last, self._position = int(counters[-1]), int(position[-1])
        if self._max_late and (self._awaited or np.count_nonzero(steps != 1)):
            fresh, lost, late = self._await(position)
        else:
            newest = np.maximum.accumulate(np.concatenate(([self._newest], position)))
            fresh = position > newest[:-1]
            lost, late = int(newest[-1]) - self._newest - int(np.count_nonzero(fresh)), 0
            self._newest = int(newest[-1])
        return Counted(fresh, position, anew, lost, len(counters) - int(np.count_nonzero(fresh)), late)

    def _await(self, position: Int64Array) -> tuple[BoolArray, int, int]:
        """Which samples are fresh, how many are lost for good, and how many came late, one after another."""
        awaited, fresh = self._awaited, np.ones(len(position), dtype=bool)
        lost = late = 0
        for index, sample in enumerate(position.tolist()):
            if sample > self._newest:
                oldest = max(self._newest + 1, sample - self._max_late)
                lost += oldest - self._newest - 1
                awaited.extend(range(oldest, sample))
                self._newest = sample
                while awaited and awaited[0] < sample - self._max_late:
                    awaited.popleft()
                    lost += 1
            elif sample in awaited:
                awaited.remove(sample)
                late += 1
            else:
                fresh[index] = False
        return fresh, lost, late

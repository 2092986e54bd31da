"""The sequence counter: which samples are new, which are repeats, and how many never arrived."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from agent.decode.pieces import BoolArray
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
        self._awaited: OrderedDict[int, None] = OrderedDict()  # positions of a gap, oldest first

    def track(self, counters: Int64Array, samples: int = 1) -> Counted:
        """Judge the next samples, in the order of their arrival, by their raw counters int64 [n / samples]: each is that of the first
        of so many samples that count on from it.
        """
        if len(counters) == 0:
            nothing = np.empty(0, dtype=bool)
            return Counted(nothing, np.empty(0, dtype=np.int64), nothing, 0, 0, 0)
        counters = counters % self._modulus
        if self._last < 0:  # as if the sample before the first had been seen
            self._last, self._position, self._newest = int(counters[0]) - 1, -1, -1
        if self._goes_on(counters, samples):
            return self._go_on(len(counters) * samples)
        if samples > 1:
            counters = (counters[:, np.newaxis] + np.arange(samples)).ravel() % self._modulus
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

    def _goes_on(self, counters: Int64Array, samples: int) -> bool:
        """Whether these are just the samples that were to come, as nearly always."""
        expected = (self._last + 1) % self._modulus
        steps = counters[1:] - counters[:-1]
        return (
            int(counters[0]) == expected
            and self._position == self._newest
            and not self._awaited
            and not np.count_nonzero((steps != samples) & (steps != samples - self._modulus))
        )

    def _go_on(self, count: int) -> Counted:
        """The next `count` samples."""
        position = np.arange(self._position + 1, self._position + 1 + count)
        self._last = (self._last + count) % self._modulus
        self._position = self._newest = int(position[-1])
        return Counted(np.ones(count, dtype=bool), position, np.zeros(count, dtype=bool), 0, 0, 0)

    def _await(self, position: Int64Array) -> tuple[BoolArray, int, int]:
        """Which samples are fresh, how many are lost for good, and how many came late, one after another."""
        awaited, fresh = self._awaited, np.ones(len(position), dtype=bool)
        lost = late = 0
        for index, sample in enumerate(position.tolist()):
            if sample > self._newest:
                oldest = max(self._newest + 1, sample - self._max_late)
                lost += oldest - self._newest - 1
                awaited.update(dict.fromkeys(range(oldest, sample)))
                self._newest = sample
                while awaited and next(iter(awaited)) < sample - self._max_late:
                    awaited.popitem(last=False)
                    lost += 1
            elif sample in awaited:
                del awaited[sample]
                late += 1
            else:
                fresh[index] = False
        return fresh, lost, late

"""The sequence counter: which samples are new, which are repeats, and how many never arrived."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.decode.records import BoolArray
from agent.types import Int64Array

_REPEAT_REACH = 64


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """`fresh` bool [n]: the samples to keep; `position` int64 [n]: the counter without its wraps, from zero at the first sample."""

    fresh: BoolArray
    position: Int64Array
    lost: int
    repeated: int
    resets: int


class SequenceTracker:
    """Follows a counter that wraps at 2**bits.

    A step forward of d means d - 1 lost samples (a gap longer than half the counter's range cannot be told from a reset). A
    step back of up to 64 (or an eighth of the range) is a repeat; a longer one is the device starting anew, after
    which counting goes on from there and nothing is called lost.
    """

    def __init__(self, bits: int) -> None:
        self._modulus = 1 << bits
        self._reach = min(_REPEAT_REACH, self._modulus // 8)
        self._last = -1
        self._position = 0
        self._newest = 0

    def track(self, counters: Int64Array) -> Counted:
        """Judge the raw counters int64 [n] of the next samples, in the order of their arrival."""
        if len(counters) == 0:
            return Counted(np.empty(0, dtype=bool), np.empty(0, dtype=np.int64), 0, 0, 0)
        counters = counters % self._modulus
        if self._last < 0:  # as if the sample before the first had been seen
            self._last, self._position, self._newest = int(counters[0]) - 1, -1, -1
        half = self._modulus // 2
        steps = (np.diff(counters, prepend=self._last) + half) % self._modulus - half
        reset = steps < -self._reach
        steps[reset] = 1
        position = self._position + np.cumsum(steps)
        newest = np.maximum.accumulate(np.concatenate(([self._newest], position)))
        fresh = position > newest[:-1]
        kept = int(np.count_nonzero(fresh))
        lost = int(newest[-1]) - self._newest - kept
        self._last, self._position, self._newest = int(counters[-1]), int(position[-1]), int(newest[-1])
        return Counted(fresh, position, lost, len(counters) - kept, int(np.count_nonzero(reset)))

"""A commissioned calibration that follows a slow change of normal operation: within bounds, and never while anything is wrong."""

from __future__ import annotations

import msgspec
import numpy as np

from agent.decide.calibration import Calibration
from agent.snapshots import read_snapshot
from agent.types import NANOSECONDS

_DAY_NS = 86_400 * NANOSECONDS
# From nothing to the bound takes this long at least. A season is followed so closely that lasting evidence sees little of it; a fault that is
# found within hours, as all are that matter, moves little.
FULL_NS = 2 * _DAY_NS
# What led up to an alarm, and what is left of it, is not learnt: the machine must have been quiet for so long.
HOLD_NS = _DAY_NS
# Scores may move by half of what lies between their median and the threshold of the tail; beyond that, commission anew.
_BOUND = 0.5


class _Memory(msgspec.Struct):
    version: int
    judged_by: str
    shift: float
    held_until_ns: int


class Adaptation:
    """How far the usual score of one machine has moved since it was commissioned.

    The shift goes a fixed small step towards each score (a sign gradient on the median), so that no score, however strange, counts for
    more than another. It moves by `bound` in two days at most, stays within `bound` for ever, and stands still while an alarm of the machine stands
    and for a day after.
    """

    def __init__(self, calibration: Calibration, hop_ns: int, judged_by: str) -> None:
        """`hop_ns` is the event time that one window adds."""
        self.bound = _BOUND * max(calibration.threshold - median(calibration), 0.0)
        self.shift = 0.0  # to be taken off a score before it is judged
        self._step = self.bound * hop_ns / FULL_NS
        self._judged_by = judged_by
        self._held_until_ns = 0

    @property
    def share(self) -> float:
        """Of the bound, -1 to 1."""
        return self.shift / self.bound if self.bound else 0.0

    def hold(self, end_ns: int) -> None:
        """An alarm stands in the window that ends at `end_ns`."""
        self._held_until_ns = end_ns + HOLD_NS

    def learn(self, score: float, end_ns: int, calibration: Calibration) -> None:
        """Take in a window that was judged by `calibration` and raised nothing."""
        # A hold that begins in the future is of a clock that was wrong.
        if end_ns < self._held_until_ns <= end_ns + HOLD_NS:
            return
        towards = np.sign(score - self.shift - median(calibration)) * self._step
        self.shift = float(np.clip(self.shift + towards, -self.bound, self.bound))

    def snapshot(self) -> bytes:
        """Everything that must outlive a restart."""
        return msgspec.json.encode(_Memory(1, self._judged_by, self.shift, self._held_until_ns))

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`, or anew where it is of another calibration; raises ValueError, and changes nothing, where it is damaged."""
        memory = read_snapshot(snapshot, _Memory, "the adaptation")
        if memory.judged_by == self._judged_by and abs(memory.shift) <= self.bound:
            self.shift, self._held_until_ns = memory.shift, memory.held_until_ns


def median(calibration: Calibration) -> float:
    """The score that half of the normal windows exceed."""
    if len(calibration.body_scores) < 2:
        return calibration.threshold
    shares = np.array(calibration.body_rates) / calibration.body_rates[0]
    return float(np.interp(-0.5, -shares, calibration.body_scores))

"""A device's clock that counts from its boot, or from any moment but 1970: unwrapped, its reboots told from disorder."""

from __future__ import annotations

import numpy as np

from agent.decode.pieces import BoolArray
from agent.decode.timebase import DeviceTime
from agent.types import NANOSECONDS, Int64Array

# A clock further back than this was set anew; less is a sample that comes late.
_LEAST_RESET_NS = NANOSECONDS


class BootClock:
    """Reads a clock that wraps at wrap_ns, or never where that is None; what it says is a position for `CounterTime`, in nanoseconds."""

    def __init__(self, wrap_ns: int | None, max_step_ns: int, max_disorder_ns: int) -> None:
        self._wrap_ns = wrap_ns
        self._max_step_ns = max_step_ns
        self._least_reset_ns = max(_LEAST_RESET_NS, max_disorder_ns)
        self._plausible = DeviceTime(max_step_ns)
        self._raw_ns: int | None = None
        self._position_ns = 0  # of the latest sample
        self._kept_ns: int | None = None  # of the latest plausible one

    def read(self, clock_ns: Int64Array) -> tuple[Int64Array, BoolArray, BoolArray]:
        """Positions int64 [n], which of them are plausible, and before which the clock began anew, as a reboot does; both bool [n]."""
        position = self._unwrapped(clock_ns)
        plausible = self._plausible.plausible(position)
        kept = position[plausible]
        anew = np.zeros(len(position), dtype=bool)
        if len(kept):
            steps = np.diff(kept, prepend=kept[0] if self._kept_ns is None else self._kept_ns)
            anew[plausible] = (steps < -self._least_reset_ns) | (steps > self._max_step_ns)
            self._kept_ns = int(kept[-1])
        return position, plausible, anew

    def _unwrapped(self, clock_ns: Int64Array) -> Int64Array:
        if self._wrap_ns is None or len(clock_ns) == 0:
            return clock_ns
        clock_ns = clock_ns % self._wrap_ns
        if self._raw_ns is None:
            self._raw_ns = self._position_ns = int(clock_ns[0])
        half = self._wrap_ns // 2
        steps = (np.diff(clock_ns, prepend=self._raw_ns) + half) % self._wrap_ns - half
        position = self._position_ns + np.cumsum(steps)
        self._raw_ns, self._position_ns = int(clock_ns[-1]), int(position[-1])
        return position

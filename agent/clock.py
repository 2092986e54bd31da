"""The two clocks of the box behind one seam, and the fake that tests drive by hand."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for people and payloads, monotonic time for every wait and timeout."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC; may step when NTP sets the clock."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start; never steps."""
        ...


class SystemClock:
    """The kernel's clocks."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


class FakeClock:
    """Clocks that stand still until `advance` or `step` moves them."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self._now_ns = now_ns
        self._monotonic_ns = 0

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def advance(self, duration_ns: int) -> None:
        """Let time pass on both clocks."""
        self._now_ns += duration_ns
        self._monotonic_ns += duration_ns

    def step(self, offset_ns: int) -> None:
        """Move the wall clock alone, as NTP does."""
        self._now_ns += offset_ns

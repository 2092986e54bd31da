"""A device's own UTC clock against the host's: how far off it is and how it drifts. Only watched: its stamps stand as they are."""

from __future__ import annotations

from agent.decode.timebase_line import ArrivalLine
from agent.types import NANOSECONDS

# A clock further back than this was set; less is disorder.
_SET_BACK_NS = NANOSECONDS


class ClockWatch:
    """The line below arrivals over the device's stamps."""

    def __init__(self, rate_hz: float, max_step_ns: int) -> None:
        self.line = ArrivalLine(NANOSECONDS / rate_hz)
        self._max_step_ns = max_step_ns
        self._origin_ns: tuple[int, int] | None = None  # a stamp and its arrival
        self._x = 0

    @property
    def offset_ns(self) -> float:
        """How far the device's clock is ahead of the host's, less the least delay of its link."""
        if self._origin_ns is None:
            return 0.0
        stamp_ns, arrived_ns = self._origin_ns
        return stamp_ns - arrived_ns - self.line.at(self._x)

    def see(self, stamp_ns: int, arrived_ns: int) -> None:
        """Take in the newest stamp of some that arrived together."""
        if self._origin_ns is None:
            self._origin_ns = (stamp_ns, arrived_ns)
            return
        x = stamp_ns - self._origin_ns[0]
        y = arrived_ns - self._origin_ns[1] - x
        if not -_SET_BACK_NS <= x - self._x <= self._max_step_ns:
            self.line.begin(x, y)
        elif x > self._x:
            self.line.add(x, y)
        else:
            return
        self._x = x

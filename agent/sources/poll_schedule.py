"""Whose turn it is on a bus: live slaves by deadline, silent ones only when that costs the live ones nothing.

All slaves are due on grids that begin at the same moment, so that the idle time of the bus is in few pieces, into which a time-out
fits. A slave that fails to answer once is asked again at its next turn, behind the others; one that fails twice in a row is asked
ever more seldom, and only while no live one is due before its time-out would end. On a bus that never idles for so long it
is asked all the same after half a minute of waiting for its turn: a slave that came back must be found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.types import NANOSECONDS

_FAILURES_OF_SILENCE = 2
_FIRST_PAUSE_NS = NANOSECONDS
_LONGEST_PAUSE_NS = 10 * NANOSECONDS
_PATIENCE_NS = 30 * NANOSECONDS


@dataclass(slots=True, eq=False)
class Slave:
    """One slave of a bus; `timeout_ns` is how long the bus is taken where it does not answer."""

    device: str
    period_ns: int
    timeout_ns: int
    due_ns: int = field(default=0, init=False)
    failures: int = field(default=0, init=False)  # in a row

    @property
    def silent(self) -> bool:
        """True where it is taken for dead."""
        return self.failures >= _FAILURES_OF_SILENCE


class PollSchedule:
    """Owned by one thread, which asks `turn`, polls, and says what came of it; all times are monotonic nanoseconds."""

    def __init__(self, slaves: Sequence[Slave], start_ns: int) -> None:
        self._slaves = slaves
        self._start_ns = start_ns
        for slave in slaves:
            slave.due_ns, slave.failures = start_ns, 0

    def turn(self, now_ns: int) -> Slave | None:
        """The slave to poll now, or None."""
        forgotten = [slave for slave in self._slaves if slave.silent and now_ns - slave.due_ns >= _PATIENCE_NS]
        if forgotten:
            return min(forgotten, key=lambda slave: slave.due_ns)
        due = [slave for slave in self._slaves if slave.due_ns <= now_ns and not slave.silent]
        if due:
            return min(due, key=lambda slave: (slave.failures, slave.due_ns + slave.period_ns))
        idle_until_ns = min((slave.due_ns for slave in self._slaves if not slave.silent), default=None)
        probes = [
            slave
            for slave in self._slaves
            if slave.silent
            and slave.due_ns <= now_ns
            and (idle_until_ns is None or now_ns + slave.timeout_ns <= idle_until_ns)
        ]
        return min(probes, key=lambda slave: slave.due_ns, default=None)

    def wait_ns(self, now_ns: int) -> int:
        """How long there is surely nothing to do, where `turn` gave None."""
        # A silent slave that is overdue waits for an idle moment, and none begins before the next live slave's turn.
        coming = [slave.due_ns if slave.due_ns > now_ns else slave.due_ns + _PATIENCE_NS for slave in self._slaves]
        return max(0, min(coming) - now_ns)

    def answered(self, slave: Slave, now_ns: int) -> int:
        """Note an answer; returns how many of the slave's turns have passed meanwhile without a poll."""
        if slave.silent:  # the turns of its silence are not owed
            slave.due_ns = now_ns
        slave.failures = 0
        return self._advance(slave, now_ns)

    def failed(self, slave: Slave, now_ns: int) -> int:
        """Note that no valid answer came; returns the same."""
        slave.failures += 1
        if not slave.silent:
            return self._advance(slave, now_ns)
        doublings = min(slave.failures - _FAILURES_OF_SILENCE, 16)
        pause_ns = min(_LONGEST_PAUSE_NS, _FIRST_PAUSE_NS << doublings)
        slave.due_ns = now_ns + max(pause_ns, slave.period_ns)
        return 0

    def _advance(self, slave: Slave, now_ns: int) -> int:
        """Go on to the next turn on the grid; a turn may be taken late, until the next one begins."""
        turns = (slave.due_ns - self._start_ns) // slave.period_ns + 1
        due_ns = self._start_ns + turns * slave.period_ns
        skipped = max(0, (now_ns - due_ns) // slave.period_ns)
        slave.due_ns = due_ns + skipped * slave.period_ns
        return skipped

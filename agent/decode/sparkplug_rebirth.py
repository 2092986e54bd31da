"""When a Sparkplug edge node is asked for its birth certificates once more, and the command that asks."""

from __future__ import annotations

from dataclasses import dataclass

from agent.decode.sparkplug_payload import BOOLEAN, Metric, Payload, write
from agent.decode.sparkplug_session import NAMESPACE
from agent.types import NANOSECONDS, Command

_REBIRTH = "Node Control/Rebirth"
# A node that has read the command needs a moment for its births, and one that does not answer must not be flooded.
FIRST_WAIT_NS = 5 * NANOSECONDS
LONGEST_WAIT_NS = 300 * NANOSECONDS
# Whoever publishes under endless names costs no memory without bound, and gets no more commands than this in the first wait.
_MAX_NODES = 64


@dataclass(slots=True)
class _Asked:
    """The latest command to a node, and for how long it is the only one."""

    at_ns: int
    wait_ns: int


class Rebirths:
    """Remembers whom it has asked. A node is asked at once, then after 5 s, 10 s, 20 s, up to every 5 minutes.

    A birth does not shorten the wait, since a node may be born again and again without the device that is missed; having
    nothing to ask for twice the longest wait does.
    """

    def __init__(self) -> None:
        self._asked: dict[tuple[str, str], _Asked] = {}

    def ask(self, node: tuple[str, str], at_ns: int) -> Command | None:
        """The command for a node (group, name) that sends data without a birth at `at_ns`; None where it has been asked."""
        asked = self._asked.get(node)
        if asked is not None and 0 <= at_ns - asked.at_ns < asked.wait_ns:
            return None
        if asked is None and not self._has_room(at_ns):
            return None
        wait_ns = FIRST_WAIT_NS
        if asked is not None and at_ns - asked.at_ns <= 2 * LONGEST_WAIT_NS:
            wait_ns = min(2 * asked.wait_ns, LONGEST_WAIT_NS)
        self._asked.pop(node, None)  # so that the one asked longest ago stays the first
        self._asked[node] = _Asked(at_ns, wait_ns)
        return _command(node, at_ns)

    def _has_room(self, at_ns: int) -> bool:
        """Whether another node may be asked; the one asked longest ago is forgotten for it, but not within its shortest wait."""
        if len(self._asked) < _MAX_NODES:
            return True
        first = next(iter(self._asked))
        if 0 <= at_ns - self._asked[first].at_ns < FIRST_WAIT_NS:
            return False
        del self._asked[first]
        return True


def _command(node: tuple[str, str], at_ns: int) -> Command:
    """A command has no sequence number: that is the node's own."""
    at_ms = at_ns * 1_000 // NANOSECONDS
    metric = Metric(name=_REBIRTH, timestamp_ms=at_ms, datatype=BOOLEAN, value=True)
    group, name = node
    return Command(f"{NAMESPACE}/{group}/NCMD/{name}", write(Payload(at_ms, metrics=[metric])))

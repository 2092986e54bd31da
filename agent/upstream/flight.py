"""What was said in one connection and waits for the broker's answer: bounded in number and bytes, and in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agent.types import NANOSECONDS
from agent.upstream.waiting import Outgoing

MAX_IN_FLIGHT = 20
# What waits in the buffers of a slow line holds up all behind it: one of 2 kB/s carries this, and a message more, within the time below.
MAX_IN_FLIGHT_BYTES = 32 * 1024
PUBACK_TIMEOUT_NS = 30 * NANOSECONDS


class _Sent(NamedTuple):
    outgoing: Outgoing
    at_ns: int


class Flight:
    """For one thread. Every `now_ns` is monotonic time."""

    def __init__(self, receive_maximum: int) -> None:
        """`receive_maximum` is the broker's bound on messages that it has not answered."""
        self.window = min(MAX_IN_FLIGHT, receive_maximum)
        self._sent: dict[int, _Sent] = {}  # by message id, oldest first
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def has_room(self) -> bool:
        """Whether another message may be sent; of messages larger than the bound, one at a time."""
        return len(self._sent) < self.window and self._bytes < MAX_IN_FLIGHT_BYTES

    @property
    def oldest(self) -> Outgoing | None:
        """What has waited longest; None where nothing waits."""
        return next((sent.outgoing for sent in self._sent.values()), None)

    def add(self, mid: int, outgoing: Outgoing, now_ns: int) -> None:
        """It was sent with this message id."""
        self._sent[mid] = _Sent(outgoing, now_ns)
        self._bytes += outgoing.packet_bytes

    def answered(self, mid: int) -> Outgoing:
        """The broker answered for this message id; raises KeyError for one that was not sent."""
        outgoing = self._sent.pop(mid).outgoing
        self._bytes -= outgoing.packet_bytes
        return outgoing

    def overdue(self, now_ns: int) -> Outgoing | None:
        """The oldest message, where it has waited for too long."""
        at_ns = next((sent.at_ns for sent in self._sent.values()), now_ns)
        return self.oldest if now_ns - at_ns > PUBACK_TIMEOUT_NS else None

    def unanswered(self) -> Sequence[Outgoing]:
        """What may or may not have arrived."""
        return [sent.outgoing for sent in self._sent.values()]

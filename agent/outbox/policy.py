"""What is given up when the outbox is full, and the record that tells the consumer what was lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from agent.types import Kind, Message

# The most dispensable kind goes first; an alarm goes only when nothing else is left, so that nobody can push it out by being refused often.
EVICTION_ORDER = (Kind.SUMMARY, Kind.SECURITY, Kind.GAP, Kind.ALARM)

# A row's share of indexes, page headers and the second copy of its key, so that many tiny rows fill the cap too.
_ROW_OVERHEAD_BYTES = 128


class Candidate(NamedTuple):
    """A row that may be evicted."""

    id: int
    kind: Kind
    created_ns: int
    size_bytes: int


class Loss(msgspec.Struct, frozen=True):
    """Messages of one kind that will never be delivered; both times are of their creation, since the Unix epoch."""

    kind: str
    count: int
    first_created_ns: int
    last_created_ns: int


class Gap(msgspec.Struct, frozen=True):
    """Everything lost since the last gap record was delivered; a later revision of one `id` replaces the earlier."""

    id: str
    revision: int
    losses: tuple[Loss, ...]

    @property
    def key(self) -> str:
        """The idempotency key of this revision's message."""
        return f"{self.id}/{self.revision}"


def row_bytes(message: Message) -> int:
    """What `message` counts for against the cap."""
    return len(message.payload) + len(message.topic.encode()) + 2 * len(message.key.encode()) + _ROW_OVERHEAD_BYTES


def choose_victims(candidates: Iterable[Candidate], excess_bytes: int) -> list[Candidate]:
    """The fewest of `candidates`, in the order given (EVICTION_ORDER, then oldest first), that free `excess_bytes`."""
    victims: list[Candidate] = []
    freed_bytes = 0
    for candidate in candidates:
        if freed_bytes >= excess_bytes:
            break
        victims.append(candidate)
        freed_bytes += candidate.size_bytes
    return victims


def extend_gap(gap: Gap | None, victims: Iterable[Candidate], new_id: str) -> Gap:
    """`gap` with `victims` added, as its next revision; a first one under `new_id` where there is none."""
    losses = {loss.kind: loss for loss in gap.losses} if gap else {}
    for victim in victims:
        kind, created_ns = victim.kind.name.lower(), victim.created_ns
        loss = losses.get(kind, Loss(kind, 0, created_ns, created_ns))
        losses[kind] = Loss(
            kind, loss.count + 1, min(loss.first_created_ns, created_ns), max(loss.last_created_ns, created_ns)
        )
    return Gap(
        gap.id if gap else new_id, gap.revision + 1 if gap else 1, tuple(losses[kind] for kind in sorted(losses))
    )

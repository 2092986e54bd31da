"""The messages in the outbox's file: entered once, sent in order of worth, evicted with a gap record that tells of them."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from agent.clock import Clock
from agent.decide.journal import START, Head
from agent.errors import UNREADABLE
from agent.outbox.database import UPSERT_STATE, corrupt, digest
from agent.outbox.policy import EVICTION_ORDER, Candidate, Gap, choose_victims, extend_gap, row_bytes
from agent.types import Kind, Message

COLUMNS = "key, kind, topic, payload, created_ns, expiry_s"
GAP_STATE = "outbox.gap"
_INSERT = (
    f"INSERT INTO message ({COLUMNS}, size_bytes, digest)"  # noqa: S608 - our own constant
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, digest(?4, ?1, ?2, ?3, ?5, ?6)) ON CONFLICT (key) DO NOTHING"
)
_NEXT = (
    f"SELECT id, digest, {COLUMNS} FROM message WHERE id NOT IN (SELECT value FROM json_each(?))"  # noqa: S608 - our own constant
    " AND topic NOT IN (SELECT value FROM json_each(?)) ORDER BY kind, id LIMIT ?"
)
_WAITING = (
    "SELECT id, created_ns, size_bytes FROM message WHERE kind = ? AND key <> ?"
    " AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY id"
)
_IN_FLIGHT = _WAITING.replace("NOT IN", "IN")

GapMessage = Callable[[Gap, int], Message]


class Row(NamedTuple):
    """A message on disk; `id` grows with every message and is never used twice."""

    id: int
    message: Message


class Held(NamedTuple):
    """How much of one kind waits."""

    rows: int
    bytes: int


@dataclass(slots=True)
class Books:
    """What is held, the counts, the open gap and the journal's head, as they will be if the transaction succeeds."""

    held: dict[Kind, Held] = field(default_factory=dict)
    gap: Gap | None = None
    head: Head = START
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def bytes(self) -> int:
        return sum(held.bytes for held in self.held.values())

    def add(self, kind: Kind, size_bytes: int, sign: int = 1) -> None:
        rows, total_bytes = self.held.get(kind, Held(0, 0))
        self.held[kind] = Held(rows + sign, total_bytes + sign * size_bytes)

    def copy(self) -> Books:
        """The same, with nothing counted yet."""
        return Books(dict(self.held), self.gap, self.head)


class MessageTable:
    """For the thread that owns the connection; what changes anything runs inside the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection, gap_message: GapMessage, clock: Clock) -> None:
        """`gap_message(gap, now_ns)` makes the message, keyed `gap.key`, that tells of evicted ones."""
        self._connection = connection
        self._gap_message = gap_message
        self._clock = clock

    def held(self) -> dict[Kind, Held]:
        """What is really there."""
        rows = self._connection.execute("SELECT kind, count(*), sum(size_bytes) FROM message GROUP BY kind")
        return {Kind(kind): Held(*totals) for kind, *totals in rows}

    def open_gap(self) -> Gap | None:
        """The open gap; None also where a damaged file gave back but a part of it: then the next loss opens another."""
        found = self._connection.execute("SELECT value FROM state WHERE name = ?", (GAP_STATE,)).fetchone()
        if found is None:
            return None
        try:
            gap = msgspec.json.decode(found[0], type=Gap)
        except UNREADABLE:
            return None
        waits = self._connection.execute("SELECT 1 FROM message WHERE key = ?", (gap.key,)).fetchone()
        return gap if waits else None

    def start_ids(self) -> None:
        """In a new file ids go on from the time, so that a late acknowledgement for a row of a lost file never fits a new one."""
        begun = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'message'").fetchone()
        if begun is None:
            self._connection.execute("INSERT INTO sqlite_sequence VALUES ('message', ?)", (self._clock.now_ns(),))

    def next_rows(self, limit: int, exclude_ids: Collection[int], exclude_topics: Collection[str]) -> list[Row]:
        """At most `limit` rows to send next: alarms first, then in the order in which they entered."""
        rows = self._connection.execute(_NEXT, (_json(exclude_ids), _json(exclude_topics), limit))
        return [_to_row(row) for row in rows]

    def insert(self, books: Books, messages: Iterable[Message]) -> None:
        """Enter messages; one whose key is held already is the same message."""
        for message in messages:
            size_bytes = row_bytes(message)
            row = (message.key, int(message.kind), message.topic, message.payload, message.created_ns, message.expiry_s)
            if self._connection.execute(_INSERT, (*row, size_bytes)).rowcount:
                books.add(message.kind, size_bytes)
                books.counts["entered"] += 1
            else:
                books.counts["duplicates"] += 1

    def forget(self, books: Books, delivered: Collection[int]) -> None:
        """Delete rows that the broker has; a delivered gap record closes its gap."""
        for key, kind, size_bytes in self._delete(delivered):
            books.add(Kind(kind), size_bytes, -1)
            books.counts["delivered"] += 1
            if books.gap and key == books.gap.key:
                self._connection.execute("DELETE FROM state WHERE name = ?", (GAP_STATE,))
                books.gap = None

    def evict(
        self,
        books: Books,
        excess_bytes: Callable[[], int],
        in_flight: Collection[int],
        kinds: Iterable[Kind] = EVICTION_ORDER,
    ) -> None:
        """Drop rows of `kinds` until nothing is in excess (the gap record itself takes room), and say so in the gap record."""
        kinds = tuple(kinds)
        while (excess := excess_bytes()) > 0:
            victims = choose_victims(self._candidates(kinds, in_flight, books.gap), excess)
            if not victims:
                return
            self._delete([victim.id for victim in victims])
            for victim in victims:
                books.add(victim.kind, victim.size_bytes, -1)
            books.counts["evicted"] += len(victims)
            self._record(books, victims)

    def _record(self, books: Books, victims: Sequence[Candidate]) -> None:
        """Replace the waiting gap record by its next revision, so that there is never more than one."""
        now_ns = self._clock.now_ns()
        old, books.gap = books.gap, extend_gap(books.gap, victims, f"gap-{now_ns}")
        if old:
            query = "DELETE FROM message WHERE key = ? RETURNING kind, size_bytes"
            kind, size_bytes = self._connection.execute(query, (old.key,)).fetchone()
            books.add(Kind(kind), size_bytes, -1)
            books.counts["entered"] -= 1
        self.insert(books, [self._gap_message(books.gap, now_ns)])
        self._connection.execute(UPSERT_STATE, (GAP_STATE, msgspec.json.encode(books.gap)))

    def _candidates(self, kinds: Iterable[Kind], in_flight: Collection[int], gap: Gap | None) -> Iterator[Candidate]:
        """Rows as they may go: by kind, those in flight last, oldest first; never the gap record."""
        parameters = (gap.key if gap else "", _json(in_flight))
        for kind in kinds:
            for query in (_WAITING, _IN_FLIGHT):
                for row_id, created_ns, size_bytes in self._connection.execute(query, (kind, *parameters)):
                    yield Candidate(row_id, kind, created_ns, size_bytes)

    def _delete(self, ids: Collection[int]) -> list[tuple[str, int, int]]:
        query = "DELETE FROM message WHERE id IN (SELECT value FROM json_each(?)) RETURNING key, kind, size_bytes"
        return self._connection.execute(query, (_json(ids),)).fetchall() if ids else []


def _to_row(found: tuple[int, int | None, str, int, str, bytes, int, int | None]) -> Row:
    row_id, written, key, kind, topic, payload, created_ns, expiry_s = found
    if written not in {None, digest(payload, key, kind, topic, created_ns, expiry_s)}:
        raise corrupt(f"message {key} is not as it was written")
    return Row(row_id, Message(key, Kind(kind), topic, payload, created_ns, expiry_s))


def _json(values: Iterable[int] | Iterable[str]) -> str:
    return json.dumps(list(values))

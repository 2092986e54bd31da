"""Messages, state snapshots and the audit journal on disk: durable when `commit` returns, sent in order of worth, bounded in bytes."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import msgspec

from agent.clock import Clock
from agent.decide.journal import START, Head
from agent.errors import OutboxError
from agent.metrics import Balance, Counters
from agent.outbox import files
from agent.outbox.database import (
    COLUMNS,
    Contents,
    allow_growth,
    connect,
    is_damage,
    is_full,
    mapped_errors,
    salvage,
    stop_growth,
    to_message,
)
from agent.outbox.journal_table import ANCHOR_STATE, JournalReader, JournalTable
from agent.outbox.policy import EVICTION_ORDER, Candidate, Gap, choose_victims, extend_gap, row_bytes
from agent.types import Kind, Message

MIN_BYTES = 16 * 1024
JOURNAL_RECORDS = 50_000
_RECORD_BYTES = 512  # of a record and its hash; long comments cost others their place
_GAP_STATE = "outbox.gap"
# Only pages that become empty as a whole can be used again, and the indexes need some too.
_SLACK_BYTES = 64 * 1024
_UPSERT_STATE = "INSERT INTO state VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_INSERT = (
    f"INSERT INTO message ({COLUMNS}, size_bytes) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - our own constant
    " ON CONFLICT (key) DO NOTHING"
)
_NEXT = (
    f"SELECT id, {COLUMNS} FROM message WHERE id NOT IN (SELECT value FROM json_each(?))"  # noqa: S608 - our own constant
    " AND topic NOT IN (SELECT value FROM json_each(?)) ORDER BY kind, id LIMIT ?"
)
_WAITING = (
    "SELECT id, created_ns, size_bytes FROM message WHERE kind = ? AND key <> ?"
    " AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY id"
)
_IN_FLIGHT = _WAITING.replace("NOT IN", "IN")

Read = TypeVar("Read")
GapMessage = Callable[[Gap, int], Message]


class Row(NamedTuple):
    """A message on disk; `id` grows with every message and is never used twice."""

    id: int
    message: Message


class Held(NamedTuple):
    """How much of one kind waits."""

    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """A damaged file was replaced: where it lies now, how many of its messages were saved, what was wrong."""

    moved_to: Path
    saved: int
    reason: str


@dataclass(slots=True)
class _Books:
    """What is held, the counts and the open gap, as they will be if the transaction succeeds."""

    held: dict[Kind, Held]
    gap: Gap | None
    head: Head = START
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def bytes(self) -> int:
        return sum(held.bytes for held in self.held.values())

    def add(self, kind: Kind, size_bytes: int, sign: int = 1) -> None:
        rows, total_bytes = self.held.get(kind, Held(0, 0))
        self.held[kind] = Held(rows + sign, total_bytes + sign * size_bytes)


class Outbox:
    """One connection, for the one thread that opened it. No other connection gets in while it is open.

    Every method raises OutboxError, with the path and a remedy, where the disk or the file fails, and changes nothing then.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        max_bytes: int,
        gap_message: GapMessage,
        clock: Clock,
        *,
        journal_records: int,
    ) -> None:
        """Use `Outbox.open`."""
        self._connection = connection
        self._path = path
        self._room_bytes = _room_bytes(max_bytes, journal_records)
        self._journal = JournalTable(connection, journal_records, clock)
        self._max_bytes = max_bytes
        self._gap_message = gap_message
        self._clock = clock
        self._books = _Books({}, None)
        self._at_limit = False  # the disk was full, and the ballast is spent
        self.counters = Counters()  # entered, delivered, evicted, lost (to a damaged file), duplicates; in this process
        self.recovered: Recovery | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        max_bytes: int,
        gap_message: GapMessage,
        clock: Clock,
        counters: Counters | None = None,
        *,
        journal_records: int = JOURNAL_RECORDS,
    ) -> Self:
        """Open or create the file; a damaged one is moved aside first and `recovered` says so.

        `max_bytes` bounds the messages, as `policy.row_bytes` counts them, `journal_records` the journal, at 512 bytes each; the database
        file stays under twice their sum plus 1 MiB, its write-ahead log under 64 pages plus one commit. `gap_message(gap, now_ns)` makes the message, keyed
        `gap.key`, that tells of evicted ones. `counters` are those of an earlier opening in this process.
        """
        if max_bytes < MIN_BYTES:
            raise OutboxError(f"{path}: max_bytes is {max_bytes}; give the outbox at least {MIN_BYTES}")
        with mapped_errors(path):
            files.prepare(path)
            contents, recovered = Contents(), None
            try:
                connection = connect(path, _room_bytes(max_bytes, journal_records))
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                moved_to = files.move_aside(path, clock.now_ns())
                contents = salvage(moved_to)
                recovered = Recovery(moved_to, len(contents.messages), str(error))
                connection = connect(path, _room_bytes(max_bytes, journal_records))
            outbox = cls(connection, path, max_bytes, gap_message, clock, journal_records=journal_records)
            try:
                damage = None if recovered is None else f"the file was damaged: {recovered.reason}"
                outbox._load(contents, counters or outbox.counters, damage)
            except BaseException:
                connection.close()
                raise
        outbox.recovered = recovered
        return outbox

    @property
    def held(self) -> Mapping[Kind, Held]:
        """What waits, kind by kind."""
        return {kind: held for kind, held in self._books.held.items() if held.rows}

    def balance(self) -> Balance:
        """What was held at the start or entered since, and what became of it."""
        held = sum(held.rows for held in self._books.held.values())
        dropped = self.counters["evicted"] + self.counters["lost"]
        return Balance(self.counters["entered"], self.counters["delivered"], held, dropped)

    @property
    def journal_head(self) -> Head:
        """The newest record of the journal."""
        return self._books.head

    def commit(
        self,
        messages: Sequence[Message] = (),
        state: Mapping[str, bytes] | None = None,
        delivered: Collection[int] = (),
        in_flight: Collection[int] = (),
        journal: Sequence[bytes] = (),
    ) -> None:
        """Make `messages` and `state` durable, chain the entries of `journal` and forget the `delivered` rows, all or nothing.

        A message whose key is held already is the same message. Rows `in_flight` are evicted after others of their kind,
        so that what is reported lost is not delivered a moment later.
        """

        def change(books: _Books) -> None:
            self._forget(books, delivered)
            self._insert(books, messages)
            self._connection.executemany(_UPSERT_STATE, (state or {}).items())
            if journal:
                books.head = self._journal.append(books.head, journal)
            self._evict(books, lambda: books.bytes - self._max_bytes, in_flight)

        with mapped_errors(self._path):
            try:
                self._transact(change)
            except sqlite3.OperationalError as error:
                if not is_full(error):
                    raise
                self._survive_full_disk(messages, delivered, in_flight, sum(map(len, journal)))
                self._transact(change)
            if self._at_limit and files.restore_ballast(self._path):
                allow_growth(self._connection, self._room_bytes)
                self._at_limit = False

    def delete(self, ids: Collection[int]) -> None:
        """Forget rows that the broker has."""
        self.commit(delivered=ids)

    def next_rows(
        self, limit: int, exclude_ids: Collection[int] = (), exclude_topics: Collection[str] = ()
    ) -> list[Row]:
        """At most `limit` rows to send next: alarms first, then in the order in which they entered."""
        with mapped_errors(self._path):
            rows = self._connection.execute(_NEXT, (_json(exclude_ids), _json(exclude_topics), limit))
            return [Row(row[0], to_message(row[1:])) for row in rows]

    def load_state(self) -> dict[str, bytes]:
        """The snapshots of the last commits, by name."""
        with mapped_errors(self._path):
            query = "SELECT name, value FROM state WHERE name NOT IN (?, ?)"
            return dict(self._connection.execute(query, (_GAP_STATE, ANCHOR_STATE)))

    def read_journal(self, read: Callable[[JournalReader], Read]) -> Read:
        """What `read` finds in the audit journal."""
        with mapped_errors(self._path):
            return read(self._journal)

    def close(self) -> None:
        """Give the file back. Nothing needs saving: every commit is on disk."""
        self._connection.close()

    def _load(self, saved: Contents, counters: Counters, damage: str | None) -> None:
        """Put in what was saved from a damaged file, and open the books on what is really there."""

        def restore(books: _Books) -> None:
            # Ids go on from the time, so that a late acknowledgement for a row of a lost file never fits a new one.
            if not self._connection.execute("SELECT 1 FROM sqlite_sequence").fetchone():
                self._connection.execute("INSERT INTO sqlite_sequence VALUES ('message', ?)", (self._clock.now_ns(),))
            self._insert(books, saved.messages)
            self._connection.executemany(_UPSERT_STATE, saved.state.items())
            books.head = self._journal.begin(saved.journal, damage)

        self._transact(restore)
        rows = self._connection.execute("SELECT kind, count(*), sum(size_bytes) FROM message GROUP BY kind")
        held = {Kind(kind): Held(*totals) for kind, *totals in rows}
        self._books = _Books(held, self._load_gap(), self._books.head)
        expected = counters["entered"] - counters["delivered"] - counters["evicted"] - counters["lost"]
        found = sum(held.rows for held in held.values())
        counters.add("entered", max(0, found - expected))
        counters.add("lost", max(0, expected - found))
        self.counters = counters

    def _load_gap(self) -> Gap | None:
        """The open gap; None also where a damaged file gave back but a part of it: then the next loss opens another."""
        query = "SELECT value FROM state WHERE name = ?"
        found = self._connection.execute(query, (_GAP_STATE,)).fetchone()
        if found is None:
            return None
        try:
            gap = msgspec.json.decode(found[0], type=Gap)
        except msgspec.MsgspecError:
            return None
        waits = self._connection.execute("SELECT 1 FROM message WHERE key = ?", (gap.key,)).fetchone()
        return gap if waits else None

    def _transact(self, change: Callable[[_Books], None]) -> None:
        """Run `change` in one transaction; the books follow only when it is on disk."""
        books = _Books(dict(self._books.held), self._books.gap, self._books.head)
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            change(books)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        for name, amount in books.counts.items():
            self.counters.add(name, amount)
        self._books = books

    def _insert(self, books: _Books, messages: Iterable[Message]) -> None:
        for message in messages:
            size_bytes = row_bytes(message)
            row = (message.key, int(message.kind), message.topic, message.payload, message.created_ns, message.expiry_s)
            if self._connection.execute(_INSERT, (*row, size_bytes)).rowcount:
                books.add(message.kind, size_bytes)
                books.counts["entered"] += 1
            else:
                books.counts["duplicates"] += 1

    def _forget(self, books: _Books, delivered: Collection[int]) -> None:
        for key, kind, size_bytes in self._delete_rows(delivered):
            books.add(Kind(kind), size_bytes, -1)
            books.counts["delivered"] += 1
            if books.gap and key == books.gap.key:
                self._connection.execute("DELETE FROM state WHERE name = ?", (_GAP_STATE,))
                books.gap = None

    def _delete_rows(self, ids: Collection[int]) -> list[tuple[str, int, int]]:
        query = "DELETE FROM message WHERE id IN (SELECT value FROM json_each(?)) RETURNING key, kind, size_bytes"
        return self._connection.execute(query, (_json(ids),)).fetchall() if ids else []

    def _evict(
        self,
        books: _Books,
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
            self._delete_rows([victim.id for victim in victims])
            for victim in victims:
                books.add(victim.kind, victim.size_bytes, -1)
            books.counts["evicted"] += len(victims)
            self._record(books, victims)

    def _record(self, books: _Books, victims: Sequence[Candidate]) -> None:
        """Replace the waiting gap record by its next revision, so that there is never more than one."""
        now_ns = self._clock.now_ns()
        old, books.gap = books.gap, extend_gap(books.gap, victims, f"gap-{now_ns}")
        if old:
            query = "DELETE FROM message WHERE key = ? RETURNING kind, size_bytes"
            kind, size_bytes = self._connection.execute(query, (old.key,)).fetchone()
            books.add(Kind(kind), size_bytes, -1)
            books.counts["entered"] -= 1
        self._insert(books, [self._gap_message(books.gap, now_ns)])
        self._connection.execute(_UPSERT_STATE, (_GAP_STATE, msgspec.json.encode(books.gap)))

    def _candidates(self, kinds: Iterable[Kind], in_flight: Collection[int], gap: Gap | None) -> Iterator[Candidate]:
        """Rows as they may go: by kind, those in flight last, oldest first; never the gap record."""
        parameters = (gap.key if gap else "", _json(in_flight))
        for kind in kinds:
            for query in (_WAITING, _IN_FLIGHT):
                for row_id, created_ns, size_bytes in self._connection.execute(query, (kind, *parameters)):
                    yield Candidate(row_id, kind, created_ns, size_bytes)

    def _survive_full_disk(
        self, messages: Sequence[Message], delivered: Collection[int], in_flight: Collection[int], journal_bytes: int
    ) -> None:
        """A full disk is a smaller cap: rows no worthier than the new ones give them their pages, then the journal's oldest records.

        The ballast pays for the log that even a deletion writes; the file stays at its size until it is back.
        """
        files.release_ballast(self._path)
        stop_growth(self._connection)
        self._at_limit = True
        worthiest = min((message.kind for message in messages), default=max(Kind))
        kinds = [kind for kind in EVICTION_ORDER if kind >= worthiest]
        new_bytes = sum(map(row_bytes, messages)) + journal_bytes
        needed = 2 * new_bytes + _SLACK_BYTES if new_bytes else 0

        def change(books: _Books) -> None:
            self._forget(books, delivered)
            target = books.bytes - needed
            self._evict(books, lambda: books.bytes - target, in_flight, kinds)
            self._journal.shed(books.bytes - target)

        self._transact(change)


def _room_bytes(max_bytes: int, journal_records: int) -> int:
    return max_bytes + journal_records * _RECORD_BYTES


def _json(values: Iterable[int] | Iterable[str]) -> str:
    return json.dumps(list(values))

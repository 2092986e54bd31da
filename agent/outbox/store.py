"""Messages, state snapshots and the audit journal on disk: durable when `commit` returns, sent in order of worth, bounded in bytes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

from agent.clock import Clock
from agent.decide.journal import Head
from agent.errors import OutboxError
from agent.metrics import Balance, Counters
from agent.outbox import files
from agent.outbox.database import (
    LOG_BYTES,
    PAGE_BYTES,
    UPSERT_STATE,
    allow_growth,
    checkpoint,
    connect,
    growth_left_bytes,
    is_damage,
    is_full,
    mapped_errors,
    stop_growth,
)
from agent.outbox.journal_table import ANCHOR_STATE, JournalReader, JournalTable
from agent.outbox.message_table import GAP_STATE, Books, GapMessage, Held, MessageTable, Row
from agent.outbox.policy import EVICTION_ORDER, row_bytes
from agent.outbox.salvage import Recovery, rebuild
from agent.types import Kind, Message

MIN_BYTES = 16 * 1024
JOURNAL_RECORDS = 50_000
_RECORD_BYTES = 512  # of a record and its hash; long comments cost others their place
# Only pages that become empty as a whole can be used again, and the indexes need some too.
_SLACK_BYTES = 64 * 1024

Read = TypeVar("Read")


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
        self._messages = MessageTable(connection, gap_message, clock)
        self._journal = JournalTable(connection, journal_records, clock)
        self._max_bytes = max_bytes
        self._books = Books()
        self._at_limit = True  # until the room set aside is known to be there
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
        file stays under twice their sum plus 1 MiB, its write-ahead log under 64 pages plus one commit; 1.75 MiB more are set aside for a full
        disk. `gap_message(gap, now_ns)` makes the message, keyed
        `gap.key`, that tells of evicted ones. `counters` are those of an earlier opening in this process.
        """
        if max_bytes < MIN_BYTES:
            raise OutboxError(f"{path}: max_bytes is {max_bytes}; give the outbox at least {MIN_BYTES}")
        with mapped_errors(path):
            files.prepare(path)
            room_bytes, recovered = _room_bytes(max_bytes, journal_records), None
            try:
                connection = _connect(path, room_bytes)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                recovered = rebuild(path, room_bytes, journal_records, clock, str(error))
                connection = _connect(path, room_bytes)
            outbox = cls(connection, path, max_bytes, gap_message, clock, journal_records=journal_records)
            try:
                outbox._load(counters or outbox.counters)
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

        def change(books: Books) -> None:
            self._messages.forget(books, delivered)
            self._messages.insert(books, messages)
            self._connection.executemany(UPSERT_STATE, (state or {}).items())
            if journal:
                books.head = self._journal.append(books.head, journal)
            self._messages.evict(books, lambda: books.bytes - self._max_bytes, in_flight)

        with mapped_errors(self._path):
            self._grow_again()  # a young file may be too small for any commit, and would never see one succeed
            self._shorten_log()
            try:
                self._transact(change)
            except sqlite3.OperationalError as error:
                if not is_full(error):
                    raise
                self._survive_full_disk(messages, delivered, in_flight, sum(map(len, journal)))
                self._transact(change)
            self._grow_again()

    def delete(self, ids: Collection[int]) -> None:
        """Forget rows that the broker has."""
        self.commit(delivered=ids)

    def next_rows(
        self, limit: int, exclude_ids: Collection[int] = (), exclude_topics: Collection[str] = ()
    ) -> list[Row]:
        """At most `limit` rows to send next: alarms first, then in the order in which they entered."""
        with mapped_errors(self._path):
            return self._messages.next_rows(limit, exclude_ids, exclude_topics)

    def load_state(self) -> dict[str, bytes]:
        """The snapshots of the last commits, by name."""
        with mapped_errors(self._path):
            query = "SELECT name, value FROM state WHERE name NOT IN (?, ?)"
            return dict(self._connection.execute(query, (GAP_STATE, ANCHOR_STATE)))

    def read_journal(self, read: Callable[[JournalReader], Read]) -> Read:
        """What `read` finds in the audit journal."""
        with mapped_errors(self._path):
            return read(self._journal)

    def close(self) -> None:
        """Give the file back. Nothing needs saving: every commit is on disk."""
        self._connection.close()

    def _load(self, counters: Counters) -> None:
        """Open the books on what is really there."""

        def begin(books: Books) -> None:
            self._messages.start_ids()
            books.head = self._journal.begin()

        self._transact(begin)
        self._books = Books(self._messages.held(), self._messages.open_gap(), self._books.head)
        expected = counters["entered"] - counters["delivered"] - counters["evicted"] - counters["lost"]
        found = sum(held.rows for held in self._books.held.values())
        counters.add("entered", max(0, found - expected))
        counters.add("lost", max(0, expected - found))
        self.counters = counters

    def _transact(self, change: Callable[[Books], None]) -> None:
        """Run `change` in one transaction; the books follow only when it is on disk."""
        books = self._books.copy()
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

    def _shorten_log(self) -> None:
        """Where the file takes nothing from the log any more, nothing is stored either: else each commit would make the log longer for ever.

        A full disk is another matter: that bounds the log itself, and has a way of its own.
        """
        if files.log_bytes(self._path) <= LOG_BYTES:
            return
        try:
            checkpoint(self._connection)
        except sqlite3.OperationalError as error:
            if not is_full(error):
                raise

    def _grow_again(self) -> None:
        """Take the bound of a full disk back where there is room to spare."""
        if self._at_limit and files.set_room_aside(self._path):
            allow_growth(self._connection, self._room_bytes)
            self._at_limit = False

    def _survive_full_disk(
        self, messages: Sequence[Message], delivered: Collection[int], in_flight: Collection[int], journal_bytes: int
    ) -> None:
        """A full disk is a smaller cap: rows no worthier than the new ones give them their pages, then the journal's oldest records.

        The ballast pays for the log that even a deletion writes; the file stays at its size until it is back, but for
        what the reserve pays. What less worthy rows take of that is the alarms' again, who push those out.
        """
        files.release_ballast(self._path)
        stop_growth(self._connection)
        self._at_limit = True
        worthiest = min((message.kind for message in messages), default=max(Kind))
        kinds = [kind for kind in EVICTION_ORDER if kind >= worthiest]
        new_bytes = sum(map(row_bytes, messages)) + journal_bytes
        needed = 2 * new_bytes + _SLACK_BYTES if new_bytes else 0

        def change(books: Books) -> None:
            self._messages.forget(books, delivered)
            target = books.bytes - needed + self._grow_into_reserve(needed)
            self._messages.evict(books, lambda: books.bytes - target, in_flight, kinds)
            self._journal.shed(books.bytes - target)

        self._transact(change)

    def _grow_into_reserve(self, size_bytes: int) -> int:
        """Let the file grow by `size_bytes`, or by what the reserve and the file's own bound still give; returns how much."""
        whole_pages = -(-size_bytes // PAGE_BYTES) * PAGE_BYTES
        room_bytes = growth_left_bytes(self._connection, self._room_bytes)
        drawn_bytes = files.draw_reserve(self._path, min(whole_pages, room_bytes))
        stop_growth(self._connection, drawn_bytes)
        return drawn_bytes


def _room_bytes(max_bytes: int, journal_records: int) -> int:
    return max_bytes + journal_records * _RECORD_BYTES


def _connect(path: Path, room_bytes: int) -> sqlite3.Connection:
    """On a full disk at the cost of the ballast: opening writes a little too."""
    try:
        return connect(path, room_bytes)
    except sqlite3.OperationalError as error:
        if not is_full(error):
            raise
        files.release_ballast(path)
        return connect(path, room_bytes)

"""The audit journal in the outbox's file: chained where it grows, given up from its old end, its last given-up record kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec

from agent.clock import Clock
from agent.decide.journal import NEW, START, Head, Sealed, gaps, reopen, seal
from agent.errors import UNREADABLE
from agent.outbox.database import UPSERT_STATE

ANCHOR_STATE = "journal.anchor"
_KEPT_ON_A_FULL_DISK = 64
_INSERT = "INSERT INTO journal (seq, record, hash) VALUES (?, ?, ?)"
_PAGE = "SELECT seq, record, hash FROM journal WHERE seq > ? ORDER BY seq LIMIT ?"
_LATEST = "SELECT seq, record, hash FROM journal WHERE seq < ? ORDER BY seq DESC LIMIT ?"


class JournalReader:
    """For the thread that owns the connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def anchor(self) -> Head:
        """The last record that was given up."""
        found = self._connection.execute("SELECT value FROM state WHERE name = ?", (ANCHOR_STATE,)).fetchone()
        try:
            return START if found is None else msgspec.json.decode(found[0], type=Head)
        except UNREADABLE:  # altered, which the first record kept will show
            return START

    def head(self) -> Head:
        """The newest record; the anchor where there is none, START in an empty journal."""
        found = self._connection.execute("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
        return Head(*found) if found else self.anchor()

    def page(self, after: int, limit: int) -> list[Sealed]:
        """At most `limit` records behind number `after`, oldest first."""
        return [Sealed._make(row) for row in self._connection.execute(_PAGE, (after, limit))]

    def latest(self, before: int, limit: int) -> list[Sealed]:
        """The `limit` newest records before number `before`, newest first."""
        return [Sealed._make(row) for row in self._connection.execute(_LATEST, (before, limit))]


class JournalTable(JournalReader):
    """What changes anything runs inside the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection, most_records: int, clock: Clock) -> None:
        """Beyond `most_records` the oldest are given up."""
        super().__init__(connection)
        self._most_records = most_records
        self._clock = clock

    def begin(self, damage: str | None = None) -> Head:
        """The head to go on from; behind records saved from a damaged file a new chain begins, which says so."""
        last = self.head()
        if damage is None and last != START:
            return last
        saved = map(Sealed._make, self._connection.execute(_PAGE, (0, -1)))
        missing = gaps(saved, self.anchor().seq)
        opening = reopen(damage or NEW, None if last == START else last, missing, self._clock.now_ns())
        self._connection.execute(_INSERT, opening)
        return Head(opening.seq, opening.hash)

    def append(self, head: Head, entries: Iterable[bytes]) -> Head:
        """Chain `entries` to `head`; returns the new head."""
        now_ns = self._clock.now_ns()
        for data in entries:
            sealed = seal(data, head, now_ns)
            self._connection.execute(_INSERT, sealed)
            head = Head(sealed.seq, sealed.hash)
        self._give_up_to(head.seq - self._most_records)
        return head

    def shed(self, excess_bytes: int) -> None:
        """Give up the oldest records until so many bytes are free, for a disk that is full; the 64 newest stay in any case."""
        freed_bytes, last = 0, 0
        query = "SELECT seq, length(record) FROM journal WHERE seq <= ? ORDER BY seq"
        for seq, size_bytes in self._connection.execute(query, (self.head().seq - _KEPT_ON_A_FULL_DISK,)):
            if freed_bytes >= excess_bytes:
                break
            freed_bytes, last = freed_bytes + size_bytes, seq
        self._give_up_to(last)

    def _give_up_to(self, seq: int) -> None:
        """Forget records up to number `seq`, and keep the hash of the last of them for the chain to hang on."""
        query = "SELECT seq, hash FROM journal WHERE seq <= ? ORDER BY seq DESC LIMIT 1"
        found = self._connection.execute(query, (seq,)).fetchone()
        if found is None:
            return
        self._connection.execute(UPSERT_STATE, (ANCHOR_STATE, msgspec.json.encode(Head(*found))))
        self._connection.execute("DELETE FROM journal WHERE seq <= ?", (seq,))

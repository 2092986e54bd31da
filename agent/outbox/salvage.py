"""A damaged outbox: what can still be read is copied row by row into a new file, which takes its place in one step."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from agent.clock import Clock
from agent.decide.journal import Sealed, is_sound
from agent.outbox import files
from agent.outbox.database import (
    PAGE_BYTES,
    UPSERT_STATE,
    connect_to_read,
    create_unsynced,
    digest,
    has_digests,
    is_busy,
    is_full,
)
from agent.outbox.journal_table import JournalTable
from agent.outbox.message_table import COLUMNS
from agent.outbox.policy import row_bytes
from agent.types import Kind, Message

_BATCH_ROWS = 200  # what a disk that becomes full can cost beside what does not fit
# Of the first page: the change counter for which its number of pages holds; another one, and SQLite asks the file's size instead
# (its file format, 1.3.7).
_VALID_FOR = slice(92, 96)
_HIGHEST_ID = 2**62  # a damaged page can claim any; from the highest there is, ids could not go on
_INSERT_MESSAGE = (
    f"INSERT OR IGNORE INTO message (id, {COLUMNS}, size_bytes, digest)"  # noqa: S608 - our own constant
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, digest(?5, ?2, ?3, ?4, ?6, ?7))"
)
_INSERT_JOURNAL = "INSERT OR IGNORE INTO journal (seq, record, hash) VALUES (?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Recovery:
    """A damaged file was replaced: where it lies now, how many of its messages were saved, what was wrong."""

    moved_to: Path
    saved: int
    reason: str


class _Table(NamedTuple):
    name: str
    key: str
    columns: str


_MESSAGES = _Table("message", "id", COLUMNS)
_STATE = _Table("state", "rowid", "name, value")
_JOURNAL = _Table("journal", "seq", "record, hash")


def rebuild(path: Path, max_bytes: int, journal_records: int, clock: Clock, reason: str) -> Recovery:
    """Replace the damaged file at `path`, and keep it under another name; raises sqlite3.Error and OSError.

    A few rows at a time are in memory. Where the disk is too full for all, the states, then the alarms, come first.
    """
    replacement = files.begin_replacement(path)
    with contextlib.closing(create_unsynced(replacement, max_bytes)) as new:
        with _with_a_schema(path, replacement), contextlib.closing(connect_to_read(path)) as old:
            whole = _copy(old, new)
        if not whole:
            files.release_ballast(path)
            reason = f"{reason}; the disk is too full for all that can be read"
        with _transaction(new):
            # Rows that were lost had higher ids, perhaps: those are never given out again.
            new.execute(
                "INSERT INTO sqlite_sequence SELECT 'message', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence)"
            )
            new.execute("UPDATE sqlite_sequence SET seq = max(seq, ?)", (clock.now_ns(),))
            JournalTable(new, journal_records, clock).begin(f"the file was damaged: {reason}")
        saved = new.execute("SELECT count(*) FROM message").fetchone()[0]
    return Recovery(files.replace_damaged(path, clock.now_ns()), saved, reason)


@contextlib.contextmanager
def _with_a_schema(path: Path, fresh: Path) -> Iterator[None]:
    """Where the first page cannot be read, the one of a file just made: tables begin on the same pages in every outbox."""
    if _schema_is_readable(path):
        yield
        return
    page = bytearray(fresh.read_bytes()[:PAGE_BYTES])
    page[_VALID_FOR] = b"\xff" * 4
    with path.open("r+b") as damaged:
        before = damaged.read(PAGE_BYTES)
        damaged.seek(0)
        damaged.write(page)
    try:
        yield
    finally:
        with path.open("r+b") as damaged:
            damaged.write(before)


def _schema_is_readable(path: Path) -> bool:
    with contextlib.closing(connect_to_read(path)) as old:
        try:
            for table in (_MESSAGES, _STATE, _JOURNAL):
                old.execute(f"SELECT {table.columns} FROM {table.name} LIMIT 0")  # noqa: S608 - our own constants
        except sqlite3.DatabaseError as error:
            if is_busy(error):
                raise
            return False
    return True


def messages_of(old: sqlite3.Connection, kinds: Iterable[Kind] = Kind) -> Iterator[tuple[int, Message]]:
    """Ids and messages that can be read, and are as they were written, in a file that may be damaged, in the order of sending."""
    # What is no text must not end the reading.
    old.text_factory = lambda data: data.decode(errors="replace")
    for kind in kinds:
        for row in _around_damage(old, _MESSAGES, f"kind = {kind:d}"):
            row_id, written, key, _, topic, payload, created_ns, expiry_s = row
            typed = _has_types(row) if written is None else type(payload) is bytes
            if typed and written in {None, digest(payload, key, int(kind), topic, created_ns, expiry_s)}:
                yield row_id, Message(key, kind, topic, payload, created_ns, expiry_s)


def _has_types(row: tuple[Any, ...]) -> bool:
    """Whether a message's row without a digest is at least of the right types."""
    match row:
        case (int(), None, str(), int(), str(), bytes(), int(), int() | None):
            return True
    return False


def states_of(old: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
    """Names and snapshots, in the same way."""
    for row in _around_damage(old, _STATE):
        match row:
            case (_, written, str(name), bytes(value)) if written in {None, digest(value, name)}:
                yield name, value


def journal_of(old: sqlite3.Connection) -> Iterator[Sealed]:
    """The audit journal's records, in the same way."""
    for row in _around_damage(old, _JOURNAL):
        match row:
            case (int(seq), _, bytes(record), str(digest_)) if is_sound(sealed := Sealed(seq, record, digest_)):
                yield sealed


def _copy(old: sqlite3.Connection, new: sqlite3.Connection) -> bool:
    """False where the disk became full on the way."""
    try:
        _put(new, UPSERT_STATE, states_of(old))
        for kind in Kind:
            _put(new, _INSERT_MESSAGE, _columns(messages_of(old, [kind])))
        _put(new, _INSERT_JOURNAL, journal_of(old))
    except sqlite3.OperationalError as error:
        if not is_full(error):
            raise
        return False
    return True


def _columns(messages: Iterator[tuple[int, Message]]) -> Iterator[tuple[Any, ...]]:
    for row_id, each in messages:
        yield row_id, each.key, each.kind, each.topic, each.payload, each.created_ns, each.expiry_s, row_bytes(each)


def _put(new: sqlite3.Connection, statement: str, rows: Iterator[tuple[Any, ...]]) -> None:
    for first in rows:
        with _transaction(new):
            new.executemany(statement, itertools.chain([first], itertools.islice(rows, _BATCH_ROWS)))


@contextlib.contextmanager
def _transaction(new: sqlite3.Connection) -> Iterator[None]:
    new.execute("BEGIN")
    try:
        yield
        new.execute("COMMIT")
    except BaseException:
        if new.in_transaction:
            new.execute("ROLLBACK")
        raise


def _around_damage(old: sqlite3.Connection, table: _Table, where: str = "TRUE") -> Iterator[tuple[Any, ...]]:
    """Rows, key and digest first; each damaged place is come up to from both sides.

    An index may be damaged where the table is not, and is left alone.
    """
    rows = (
        f"SELECT {table.key}, {_digest_column(old, table)}, {table.columns} FROM {table.name} NOT INDEXED"  # noqa: S608 - our own constants
        f" WHERE {where} AND {table.key} > ? AND {table.key} <= ? ORDER BY {table.key}"
    )
    position = 0
    while position < _HIGHEST_ID:
        try:
            for row in _up_to_damage(old, f"{rows} ASC", position, _HIGHEST_ID):
                position = row[0]
                yield row
        except sqlite3.DatabaseError as error:
            if is_busy(error):
                raise
            beyond = _beyond_damage(old, rows, position)
            with contextlib.suppress(sqlite3.DatabaseError):
                yield from _up_to_damage(old, f"{rows} DESC", position, beyond)
            position = beyond
        else:
            return


def _up_to_damage(old: sqlite3.Connection, rows: str, low: int, high: int) -> Iterator[tuple[Any, ...]]:
    """Rows above `low` up to `high`; raises sqlite3.DatabaseError behind the last that can be read."""
    most = -1
    while True:
        row = None
        try:
            for row in old.execute(f"{rows} LIMIT {most}", (low, high)):
                low, high = (row[0], high) if rows.endswith("ASC") else (low, row[0] - 1)
                yield row
        except sqlite3.DatabaseError:
            if most == 1:
                raise
            most = 1  # Python's cursor looks one row ahead, and loses the one before the damage: from there one by one
        else:
            if row is None or most != 1:
                return


def _beyond_damage(old: sqlite3.Connection, rows: str, position: int) -> int:
    """A key behind `position` behind which the next row can be read."""
    step = 1
    while position + step < _HIGHEST_ID:
        with contextlib.suppress(sqlite3.DatabaseError):
            old.execute(f"{rows} LIMIT 1", (position + step, _HIGHEST_ID)).fetchone()
            return position + step
        step *= 2
    return _HIGHEST_ID


def _digest_column(old: sqlite3.Connection, table: _Table) -> str:
    with contextlib.suppress(sqlite3.DatabaseError):
        if has_digests(old, table.name):
            return "digest"
    return "NULL"

"""The outbox's SQLite file: opened for one connection alone, proven sound, salvaged when it is not, its errors named."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent.decide.journal import Sealed, is_sound
from agent.errors import OutboxError
from agent.types import Kind, Message

COLUMNS = "key, kind, topic, payload, created_ns, expiry_s"
_PAGE_BYTES = 4096
_WAL_PAGES = 64
_BUSY_TIMEOUT_S = 2.0
_VERSION = 3  # 1 had no journal, 2 no security events
_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
  id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 3),
  topic TEXT NOT NULL, payload BLOB NOT NULL, created_ns INTEGER NOT NULL, expiry_s INTEGER, size_bytes INTEGER NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS message_by_kind ON message (kind, id);
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS journal (seq INTEGER PRIMARY KEY, record BLOB NOT NULL, hash TEXT NOT NULL) STRICT;
"""
_REMEDIES = {
    sqlite3.SQLITE_FULL: "free space on that disk",
    sqlite3.SQLITE_BUSY: "another stethos has it open: stop that one first",
    sqlite3.SQLITE_READONLY: "let the service's user write there",
    sqlite3.SQLITE_CANTOPEN: "let the service's user read and write that folder",
    sqlite3.SQLITE_PERM: "let the service's user read and write that folder",
    sqlite3.SQLITE_IOERR: "check the disk (dmesg)",
    sqlite3.SQLITE_CORRUPT: "it is moved aside when it is opened next",
    sqlite3.SQLITE_NOTADB: "it is moved aside when it is opened next",
}


class DamagedOutboxError(OutboxError):
    """The file is damaged; opening it again moves it aside and saves what can be read."""


@dataclass(slots=True)
class Contents:
    """What could be read from a damaged file."""

    messages: list[Message] = field(default_factory=list)
    state: dict[str, bytes] = field(default_factory=dict)
    journal: list[Sealed] = field(default_factory=list)


def connect(path: Path, max_bytes: int) -> sqlite3.Connection:
    """A connection in autocommit mode, exclusive, checked, with the schema; raises sqlite3.Error.

    WAL with synchronous=FULL: a commit is on disk when it returns. An exclusive connection needs no shared memory and
    keeps a second one out, which before SQLite 3.51.3 could corrupt the file when the log is reset.
    """
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_PAGES * _PAGE_BYTES}")
        _let_in_security_events(connection, _verify(connection, path))
        allow_growth(connection, max_bytes)
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
    except BaseException:
        connection.close()
        raise
    return connection


def allow_growth(connection: sqlite3.Connection, max_bytes: int) -> None:
    """Let the file grow to what `max_bytes` of messages need at worst, with 1 MiB for everything else."""
    connection.execute(f"PRAGMA max_page_count = {2 * max_bytes // _PAGE_BYTES + 256}")


def stop_growth(connection: sqlite3.Connection) -> None:
    """Keep the file at its size, so that new rows take the pages of old ones."""
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")


def _let_in_security_events(connection: sqlite3.Connection, version: int) -> None:
    """Widen a constraint of an older file, in the way that SQLite's manual gives for what changes no row (ALTER TABLE, section 7)."""
    if not 0 < version < 3:
        return
    next_schema = connection.execute("PRAGMA schema_version").fetchone()[0] + 1
    widen = "UPDATE sqlite_schema SET sql = replace(sql, 'BETWEEN 0 AND 2', 'BETWEEN 0 AND 3') WHERE name = 'message'"
    connection.execute("PRAGMA writable_schema = ON")
    connection.executescript(f"BEGIN; {widen}; PRAGMA schema_version = {next_schema}; PRAGMA user_version = 3; COMMIT;")
    connection.execute("PRAGMA writable_schema = OFF")


def _verify(connection: sqlite3.Connection, path: Path) -> int:
    """The file's version, 0 where it is new."""
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        error = sqlite3.DatabaseError(f"quick_check: {verdict}")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > _VERSION:
        raise OutboxError(f"{path}: written by a newer stethos (format {version}); install that one, or move it away")
    return int(version)


def salvage(path: Path) -> Contents:
    """Every message, snapshot and sound record of a damaged file that can still be read, from both ends towards the damage."""
    messages: dict[int, Message] = {}
    state: dict[str, bytes] = {}
    journal: dict[int, Sealed] = {}
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for order in ("ASC", "DESC"):
            with contextlib.suppress(sqlite3.Error, ValueError):
                query = f"SELECT id, {COLUMNS} FROM message ORDER BY id {order}"  # noqa: S608 - our own constants
                for row in connection.execute(query):
                    messages[row[0]] = to_message(row[1:])
            with contextlib.suppress(sqlite3.Error, ValueError):
                query = f"SELECT name, value FROM state ORDER BY rowid {order}"  # noqa: S608 - our own constants
                state.update(connection.execute(query))
            with contextlib.suppress(sqlite3.Error, ValueError):
                query = f"SELECT seq, record, hash FROM journal ORDER BY seq {order}"  # noqa: S608 - our own constants
                for record in map(Sealed._make, connection.execute(query)):
                    journal[record.seq] = record
    sound = [journal[seq] for seq in sorted(journal) if is_sound(journal[seq])]
    return Contents([messages[row_id] for row_id in sorted(messages)], state, sound)


def to_message(row: tuple[str, int, str, bytes, int, int | None]) -> Message:
    """A row of COLUMNS as a message; raises ValueError where it is none."""
    key, kind, topic, payload, created_ns, expiry_s = row
    return Message(key, Kind(kind), topic, payload, created_ns, expiry_s)


def is_damage(error: sqlite3.Error) -> bool:
    """True where the file itself is unsound."""
    return _primary_code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_full(error: sqlite3.Error) -> bool:
    """True where the disk, or the file's own cap, has no page left."""
    return _primary_code(error) == sqlite3.SQLITE_FULL


@contextlib.contextmanager
def mapped_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into OutboxError with the path and a remedy."""
    try:
        yield
    except sqlite3.Error as error:
        remedy = _REMEDIES.get(_primary_code(error), "restart the agent, and report it where it stays")
        kind = DamagedOutboxError if is_damage(error) else OutboxError
        raise kind(f"{path}: {error}; {remedy}") from error
    except OSError as error:
        raise OutboxError(f"{path}: {error.strerror}; let the service's user write there, and free space") from error


def _primary_code(error: sqlite3.Error) -> int:
    # Extended codes keep the primary one in their lowest byte.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF

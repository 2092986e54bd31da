"""The outbox's SQLite file: opened for one connection alone, proven sound, its errors named."""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path

from agent.errors import OutboxError

UPSERT_STATE = (
    "INSERT INTO state (name, value, digest) VALUES (?1, ?2, digest(?2, ?1))"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value, digest = excluded.digest"
)
PAGE_BYTES = 4096
_WAL_PAGES = 64
_LEAST_PAGES = 64
_BUSY_TIMEOUT_S = 2.0
_VERSION = 3  # 1 had no journal, 2 no security events
# With the format's number once more, so that one flipped bit does not look like a newer stethos.
_APPLICATION = int.from_bytes(b"STE\0")
# Its header, and a header beside each page (SQLite's file format, 4.1 and 4.2).
LOG_BYTES = 32 + _WAL_PAGES * (24 + PAGE_BYTES)
# SQLite finds pages that are unsound, not bytes that are others than were written: that is what `digest` is for, NULL in rows
# of an older stethos. `message_waiting` answers what waits and what may be evicted without a look at the payloads, which may be a gigabyte.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
  id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 3),
  topic TEXT NOT NULL, payload BLOB NOT NULL, created_ns INTEGER NOT NULL, expiry_s INTEGER, size_bytes INTEGER NOT NULL,
  digest INTEGER) STRICT;
DROP INDEX IF EXISTS message_by_kind;
CREATE INDEX IF NOT EXISTS message_waiting ON message (kind, id, created_ns, size_bytes);
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value BLOB NOT NULL, digest INTEGER) STRICT;
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


def connect(path: Path, max_bytes: int) -> sqlite3.Connection:
    """A connection in autocommit mode, exclusive, checked, with the schema; raises sqlite3.Error.

    WAL with synchronous=FULL: a commit is on disk when it returns. An exclusive connection needs no shared memory and
    keeps a second one out, which before SQLite 3.51.3 could corrupt the file when the log is reset.
    """
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_PAGES * PAGE_BYTES}")
        _let_in_security_events(connection, _verify(connection, path))
        allow_growth(connection, max_bytes)
        try:
            _set_up(connection)
            _verify_digests(connection)
        except sqlite3.OperationalError as error:
            if _primary_code(error) == sqlite3.SQLITE_ERROR:  # a table or a column is not there under its name
                raise corrupt(str(error)) from error
            raise
    except BaseException:
        connection.close()
        raise
    return connection


def create_unsynced(path: Path, max_bytes: int) -> sqlite3.Connection:
    """A connection to a new file that is worth nothing before it was closed and synced; raises sqlite3.Error.

    Without a log beside it the file can be renamed, and a disk that becomes full costs the transaction under way alone.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("PRAGMA synchronous = OFF")
        allow_growth(connection, max_bytes)
        _set_up(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection, exclusive too, that changes nothing; raises OutboxError where there is no file, sqlite3.Error else."""
    if not path.exists():
        raise OutboxError(f"{path}: there is no such file; has the agent ever run with this configuration?")
    address = f"{path.absolute().as_uri()}?mode=rw"  # to take in the log that a killed agent left
    connection = sqlite3.connect(address, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def allow_growth(connection: sqlite3.Connection, max_bytes: int) -> None:
    """Let the file grow to what `max_bytes` of messages need at worst, with 1 MiB for everything else."""
    connection.execute(f"PRAGMA max_page_count = {_most_pages(max_bytes)}")


def stop_growth(connection: sqlite3.Connection, but_for_bytes: int = 0) -> None:
    """Keep the file at its size, so that new rows take the pages of old ones, but for whole pages of `but_for_bytes`.

    Up to 256 KiB, which a ballast can pay for, it may grow.
    """
    pages = max(_LEAST_PAGES, _pages(connection)) + but_for_bytes // PAGE_BYTES
    connection.execute(f"PRAGMA max_page_count = {pages}")


def growth_left_bytes(connection: sqlite3.Connection, max_bytes: int) -> int:
    """What the file could grow by before it meets the bound of `allow_growth`."""
    return PAGE_BYTES * max(0, _most_pages(max_bytes) - _pages(connection))


def checkpoint(connection: sqlite3.Connection) -> None:
    """Bring what the log holds into the file; raises sqlite3.Error, which a checkpoint that SQLite makes by itself keeps silent about."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


def format_of(connection: sqlite3.Connection) -> int:
    """The file's format, 0 where it is new; raises sqlite3.DatabaseError where its two numbers do not agree."""
    version, told = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id"))
    if told != _APPLICATION + version and (told != 0 or version > _VERSION):  # up to 3 it was told once
        raise corrupt(f"the format is not as it was written: {version:#x} beside {told:#x}")
    return int(version)


def _pages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA page_count").fetchone()[0])


def _most_pages(max_bytes: int) -> int:
    return 2 * max_bytes // PAGE_BYTES + 256


def _let_in_security_events(connection: sqlite3.Connection, version: int) -> None:
    """Widen a constraint of an older file, in the way that SQLite's manual gives for what changes no row (ALTER TABLE, section 7)."""
    if not 0 < version < 3:
        return
    next_schema = connection.execute("PRAGMA schema_version").fetchone()[0] + 1
    widen = "UPDATE sqlite_schema SET sql = replace(sql, 'BETWEEN 0 AND 2', 'BETWEEN 0 AND 3') WHERE name = 'message'"
    connection.execute("PRAGMA writable_schema = ON")
    connection.executescript(f"BEGIN; {widen}; PRAGMA schema_version = {next_schema}; PRAGMA user_version = 3; COMMIT;")
    connection.execute("PRAGMA writable_schema = OFF")


def digest(data: bytes, *more: str | int | None) -> int:
    """CRC-32 of a row's blob and of its other columns."""
    return zlib.crc32("\0".join(map(str, more)).encode(), zlib.crc32(data))


def corrupt(reason: str) -> sqlite3.DatabaseError:
    """The error that SQLite would raise where it found the damage itself."""
    error = sqlite3.DatabaseError(reason)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def has_digests(connection: sqlite3.Connection, table: str) -> bool:
    """False where an older stethos wrote the file."""
    return "digest" in {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def _set_up(connection: sqlite3.Connection) -> None:
    connection.create_function("digest", -1, digest, deterministic=True)
    told = connection.execute("PRAGMA application_id").fetchone()[0]
    both = f"PRAGMA user_version = {_VERSION}; PRAGMA application_id = {_APPLICATION + _VERSION};"
    version = "" if told == _APPLICATION + _VERSION else both  # setting one writes, even the same
    connection.executescript(f"BEGIN; {_SCHEMA} {version} COMMIT;")
    for table in ("message", "state"):
        if not has_digests(connection, table):
            connection.execute(f"ALTER TABLE {table} ADD COLUMN digest INTEGER")


def _verify(connection: sqlite3.Connection, path: Path) -> int:
    """The file's version, 0 where it is new."""
    verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if verdict != "ok":
        raise corrupt(f"integrity_check: {verdict}")
    version = format_of(connection)
    if version > _VERSION:
        raise OutboxError(f"{path}: written by a newer stethos (format {version}); install that one, or move it away")
    return version


def _verify_digests(connection: sqlite3.Connection) -> None:
    altered = connection.execute(
        "SELECT (SELECT count(*) FROM message WHERE digest <> digest(payload, key, kind, topic, created_ns, expiry_s))"
        " + (SELECT count(*) FROM state WHERE digest <> digest(value, name))"
    ).fetchone()[0]
    if altered:
        raise corrupt(f"{altered} rows are not as they were written")


def is_damage(error: sqlite3.Error) -> bool:
    """True where the file itself is unsound, or lies on a sector that cannot be read."""
    unreadable = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}
    unsound = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
    return getattr(error, "sqlite_errorcode", None) in unreadable or _primary_code(error) in unsound


def is_full(error: sqlite3.Error) -> bool:
    """True where the disk, or the file's own cap, has no page left."""
    return _primary_code(error) == sqlite3.SQLITE_FULL


def is_busy(error: sqlite3.Error) -> bool:
    """True where another process has the file open."""
    return _primary_code(error) == sqlite3.SQLITE_BUSY


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

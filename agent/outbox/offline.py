"""The outbox's file while no agent runs: what waits in it, whether it is sound, its messages out as JSON lines and in again."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from agent.errors import UNREADABLE, OutboxError
from agent.outbox.database import connect_to_read, format_of, is_damage, mapped_errors
from agent.outbox.policy import row_bytes
from agent.outbox.salvage import journal_of, messages_of, states_of
from agent.outbox.store import Outbox
from agent.types import Kind, Message

_MOST_PROBLEMS = 20
_BATCH_MESSAGES = 200
_KINDS = {kind.name.lower(): kind for kind in Kind}


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A message as one line of an export; exactly one of the two payloads is there, base64 where the bytes are no UTF-8."""

    key: str
    kind: str
    topic: str
    created_ns: int
    expiry_s: int | None = None
    payload: str | None = None
    payload_base64: bytes | None = None


class Examination(msgspec.Struct, frozen=True):
    """What is wrong with a file, nothing where it is sound, and how much of it can be read."""

    problems: list[str]
    messages: int
    states: int
    records: int  # of the audit journal


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """The file for reading alone, damaged or not; raises OutboxError where there is none, or an agent has it open."""
    with mapped_errors(path), contextlib.closing(connect_to_read(path)) as connection:
        yield connection


def export(path: Path) -> Iterator[bytes]:
    """Every message that can be read as a line of JSON, in the order of sending."""
    with reading(path) as connection:
        for _, message in messages_of(connection):
            yield msgspec.json.encode(_to_line(message))


def examine(path: Path) -> Examination:
    """Every page, and every message and state against its digest; nothing is changed. The journal has its own verification."""
    with reading(path) as connection:
        problems = _unsound(connection)
        messages, states, records = (
            sum(1 for _ in found(connection)) for found in (messages_of, states_of, journal_of)
        )
        for table, readable in (("message", messages), ("state", states)):
            with contextlib.suppress(sqlite3.DatabaseError):  # told above
                rows = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - our own names
                if rows != readable:
                    problems.append(
                        f"{table}: {rows - readable} of {rows} rows cannot be read, or are not as they were written"
                    )
        return Examination(problems, messages, states, records)


def _unsound(connection: sqlite3.Connection) -> list[str]:
    try:
        told = [row[0] for row in connection.execute(f"PRAGMA integrity_check({_MOST_PROBLEMS})")]
        format_of(connection)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return [str(error)]
    return [] if told == ["ok"] else told


def messages_from(lines: Iterable[bytes], name: str) -> Iterator[Message]:
    """The messages of an export; raises OutboxError with the number of the first line that is none."""
    for number, line in enumerate(lines, 1):
        try:
            yield _to_message(msgspec.json.decode(line, type=Line))
        except (*UNREADABLE, ValueError) as error:
            raise OutboxError(
                f"{name}: line {number}: {error}; give a file that `stethos outbox export` wrote"
            ) from error


def put_back(outbox: Outbox, messages: Iterable[Message], room_bytes: int) -> None:
    """Enter `messages`; nothing is evicted for them: raises OutboxError at the first that does not fit, the ones before are in."""
    batch: list[Message] = []
    room_bytes -= sum(held.bytes for held in outbox.held.values())
    for message in messages:
        room_bytes -= row_bytes(message)
        if room_bytes < 0:
            outbox.commit(batch)
            raise OutboxError(
                f"message {message.key} does not fit any more; let the agent send, or raise outbox.max_bytes, and replay again"
            )
        batch.append(message)
        if len(batch) == _BATCH_MESSAGES:
            outbox.commit(batch)
            batch.clear()
    outbox.commit(batch)


def _to_line(message: Message) -> Line:
    text, data = None, None
    try:
        text = message.payload.decode()
    except UnicodeDecodeError:
        data = message.payload
    return Line(
        key=message.key,
        kind=message.kind.name.lower(),
        topic=message.topic,
        created_ns=message.created_ns,
        expiry_s=message.expiry_s,
        payload=text,
        payload_base64=data,
    )


def _to_message(line: Line) -> Message:
    if line.kind not in _KINDS:
        raise ValueError(f"there is no kind '{line.kind}'; there are {', '.join(_KINDS)}")
    if (line.payload is None) == (line.payload_base64 is None):
        raise ValueError("it takes exactly one of payload and payload_base64")
    payload = line.payload_base64 if line.payload is None else line.payload.encode()
    assert payload is not None
    return Message(line.key, _KINDS[line.kind], line.topic, payload, line.created_ns, line.expiry_s)

"""The journal as people read it, and as it is verified: pages of records, from the running outbox or from its file alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from agent.commands.catalogue import History
from agent.decide.journal import Head, Record, Sealed, is_sound
from agent.errors import UNREADABLE, OutboxError
from agent.outbox.database import connect_to_read, format_of, mapped_errors
from agent.outbox.journal_table import JournalReader

_NEWEST = 2**62


class Page(msgspec.Struct, frozen=True):
    """Records as they are stored, oldest first, with the newest record there is and the last that was given up as too old."""

    anchor: Head
    head: Head
    records: list[Sealed]


def answer(journal: JournalReader, query: History) -> Any:
    """What `alarms.history` answers: a page as it is stored where `after` is given, else the newest records as objects, newest first."""
    if query.after is not None:
        return Page(journal.anchor(), journal.head(), journal.page(query.after, query.limit))
    return {"records": readable(journal.latest(query.before or _NEWEST, query.limit))}


def readable(records: list[Sealed]) -> list[dict[str, Any]]:
    """Records as objects; of one that is not as it was written only the number is shown."""
    return [_shown(sealed) for sealed in records]


def _shown(sealed: Sealed) -> dict[str, Any]:
    try:
        if is_sound(sealed):
            record = msgspec.json.decode(sealed.record, type=Record)
            head = {"seq": sealed.seq, "recorded_ns": record.recorded_ns, "hash": sealed.hash}
            return {**head, "entry": msgspec.json.decode(record.entry)}
    except UNREADABLE:
        pass  # sound as bytes, and still no record: told the same way
    return {"seq": sealed.seq, "altered": True}


@contextlib.contextmanager
def journal_of(path: Path) -> Iterator[JournalReader]:
    """The journal in an outbox's file that no agent has open; raises OutboxError, where one has too.

    The lock is exclusive, so that there is only ever one connection; it is held for as long as the reader is used.
    """
    with mapped_errors(path), contextlib.closing(connect_to_read(path)) as connection:
        if format_of(connection) < 2:
            raise OutboxError(f"{path}: written by an older stethos that kept no journal")
        yield JournalReader(connection)

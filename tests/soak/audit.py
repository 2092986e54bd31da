"""The audit journal, read while the daemon runs and once more when it has ended, before a full disk makes it give up its oldest records."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec

from agent.commands.request import RequestError
from agent.control.client import connected
from agent.decide.journal import Break, Record, Sealed, Verifier
from agent.errors import LinkError
from agent.outbox.history import Page, journal_of
from tests.soak.ledger import Raised

_EVERY_S = 0.5
_PAGE = 500


class _Entry(msgspec.Struct, frozen=True):
    kind: str
    action: str | None = None
    machine: str = ""
    alarm: str | None = None
    time_ns: int = 0


class Audit:
    """`run` reads twice a second, over the daemon's own socket; `finish` reads the rest from the file."""

    def __init__(self, state: Path) -> None:
        self.raised: list[Raised] = []
        self.records = 0
        self.unread = 0  # given up on a full disk before they were read
        self.broken: Break | None = None
        self._state = state
        self._verifier = Verifier()

    def finish(self) -> None:
        """Once the daemon has ended: the rest, from the file."""
        with journal_of(self._state / "outbox.db") as journal:
            while self._take(Page(journal.anchor(), journal.head(), journal.page(self._verifier.head.seq, _PAGE))):
                pass

    def run(self, stop: threading.Event) -> None:
        """The body of its thread."""
        while not stop.wait(_EVERY_S):
            try:
                with connected(self._state / "control.sock") as client:
                    while self._take(
                        client.ask("alarms.history", {"after": self._verifier.head.seq, "limit": _PAGE}, Page)
                    ):
                        pass
            except (LinkError, RequestError):
                continue  # it is down just now, or its disk is

    def _take(self, page: Page) -> bool:
        if page.anchor.seq > self._verifier.head.seq:
            self.unread += page.anchor.seq - self._verifier.head.seq
            self._verifier = Verifier(page.anchor)
        for sealed in page.records:
            self._verifier.add(sealed)
            self._note(sealed)
        self.records += len(page.records)
        self.broken = self.broken or self._verifier.result().broken
        return bool(page.records)

    def _note(self, sealed: Sealed) -> None:
        entry = msgspec.json.decode(msgspec.json.decode(sealed.record, type=Record).entry, type=_Entry)
        if entry.kind == "transition" and entry.action == "raise":
            assert entry.alarm is not None, "a raised alarm has an id"
            self.raised.append(Raised(entry.machine, entry.alarm, entry.time_ns))

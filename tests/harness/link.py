"""A real link running in its thread, with a sink that remembers what it was told."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from random import Random

from agent.clock import SystemClock
from agent.upstream.link import Link, LinkEvents
from agent.upstream.settings import LinkSettings
from tests.harness.broker import PATIENCE_S
from tests.harness.threads import at_work

AVAILABILITY = "stethos/line-3/availability"


class Sink:
    """LinkEvents that remembers; `outcomes` are (row id, reason), with None where the broker has the row."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.sessions: list[int] = []
        self.windows: list[int] = []
        self.downs: list[tuple[int, str]] = []
        self.outcomes: list[tuple[int, str | None]] = []

    def up(self, session: int, receive_maximum: int) -> None:
        with self._changed:
            self.sessions.append(session)
            self.windows.append(receive_maximum)
            self._changed.notify_all()

    def down(self, session: int, reason: str) -> None:
        with self._changed:
            self.downs.append((session, reason))
            self._changed.notify_all()

    def acked(self, row_id: int) -> None:
        with self._changed:
            self.outcomes.append((row_id, None))
            self._changed.notify_all()

    def refused(self, row_id: int, reason: str, *, whole_topic: bool) -> None:
        with self._changed:
            self.outcomes.append((row_id, reason))
            self._changed.notify_all()

    def wait_up(self, count: int = 1, timeout_s: float = PATIENCE_S) -> int:
        """The number of the latest session, once `count` have stood."""
        self._wait(lambda: len(self.sessions) >= count, timeout_s, f"session {count}")
        return self.sessions[-1]

    def wait_down(self, count: int = 1, timeout_s: float = PATIENCE_S) -> str:
        """Why the latest session ended, once `count` have."""
        self._wait(lambda: len(self.downs) >= count, timeout_s, f"end {count}")
        return self.downs[-1][1]

    def wait_outcomes(self, count: int, timeout_s: float = PATIENCE_S) -> list[tuple[int, str | None]]:
        self._wait(lambda: len(self.outcomes) >= count, timeout_s, f"{count} outcomes, got {self.outcomes}")
        return list(self.outcomes)

    def _wait(self, predicate: object, timeout_s: float, what: str) -> None:
        with self._changed:
            assert self._changed.wait_for(predicate, timeout_s), f"not within {timeout_s:g} s: {what}"  # type: ignore[arg-type]


def settings_for(port: int, host: str = "127.0.0.1", **more: object) -> LinkSettings:
    fields: dict[str, object] = {"client_id": "stethos-line-3", "availability_topic": AVAILABILITY, "keepalive_s": 5}
    return LinkSettings(host, port, **(fields | more))  # type: ignore[arg-type]


@contextlib.contextmanager
def running_link(settings: LinkSettings, events: LinkEvents) -> Iterator[tuple[Link, threading.Event]]:
    """A link whose thread runs; its retries are quick and always the same."""
    link = Link(settings, SystemClock(), Random(1))
    with running(link, events) as stop:
        yield link, stop


@contextlib.contextmanager
def running(link: Link, events: LinkEvents) -> Iterator[threading.Event]:
    """The thread of a link, stopped, with its goodbye, at the end."""
    with at_work(lambda stop: link.run(stop, events)) as stop:
        yield stop

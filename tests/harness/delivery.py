"""Outbox, link, cable, broker and consumer, all real, and the one question after every fault: did everything arrive, and repeats as themselves?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from agent.clock import SystemClock
from agent.outbox.writer import OutboxWriter
from agent.types import Commit, Kind
from agent.upstream.link import Link
from agent.upstream.settings import LinkSettings
from tests.harness.broker import PATIENCE_S, Subscriber, wait_until
from tests.harness.link import running
from tests.harness.outbox import a_message, running_writer

ALARM = "stethos/line-3/alarm"


@dataclass
class Delivery:
    """`submit` puts alarms into the outbox; `consumer` is what hears them at the broker."""

    writer: OutboxWriter
    link: Link
    submitted: int = 0

    def submit(self, *names: str, kind: Kind = Kind.ALARM, size_bytes: int = 200) -> None:
        """Alarms of these keys, durable soon."""
        self.submitted += len(names)
        for name in names:
            self.writer.submit(Commit((a_message(name, kind, size_bytes),)), PATIENCE_S)

    def wait_connected(self, timeout_s: float = PATIENCE_S) -> None:
        wait_until(lambda: self.link.status.connected, timeout_s, f"a connection, not {self.link.status.last_error}")

    def wait_error(self, words: str, timeout_s: float = PATIENCE_S) -> None:
        """Until the link says `words`."""
        wait_until(
            lambda: words in (self.link.status.last_error or ""),
            timeout_s,
            f"{words!r}, and not {self.link.status.last_error!r}",
        )

    def wait_emptied(self, timeout_s: float = 2 * PATIENCE_S) -> None:
        """Until the broker has acknowledged everything."""
        wait_until(self._emptied, timeout_s, f"an empty outbox, not {self.writer.status}, {self.link.status}")

    def _emptied(self) -> bool:
        status = self.writer.status
        return status is not None and status.balance.entered >= self.submitted and status.balance.held == 0


@contextlib.contextmanager
def delivering(folder: Path, settings: LinkSettings) -> Iterator[Delivery]:
    """An outbox in `folder`, and a link whose retries are always the same."""
    folder.mkdir(exist_ok=True)
    link = Link(settings, SystemClock(), Random(1))
    with running_writer(folder / "outbox.db", link) as writer, running(link, writer):
        yield Delivery(writer, link)


def require_delivered(
    consumer: Subscriber, names: list[str], timeout_s: float = 2 * PATIENCE_S, size_bytes: int = 200
) -> int:
    """Each of `names` arrived, in the order of first arrivals, and every repeat is byte for byte the first: how many repeats there were."""
    wanted = [a_message(name, size_bytes=size_bytes).payload for name in names]

    def arrived() -> list[bytes]:
        return consumer.payloads(ALARM)

    consumer.wait_for(lambda _: set(wanted) <= set(arrived()), timeout_s)
    assert list(dict.fromkeys(arrived())) == wanted
    return len(arrived()) - len(wanted)

"""Messages, gap records and writers as the outbox's tests need them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.clock import Clock, FakeClock, SystemClock
from agent.metrics import Counters
from agent.outbox.policy import Gap
from agent.outbox.store import Outbox
from agent.outbox.writer import OutboxWriter, Sender
from agent.types import Kind, Message
from tests.harness.broker import PATIENCE_S
from tests.harness.threads import at_work

GAP_TOPIC = "stethos/line-3/gap"


def a_message(key: str, kind: Kind = Kind.ALARM, size_bytes: int = 40, created_ns: int = 1, **more: object) -> Message:
    """A message of `kind` on its own topic, whose payload starts with its key."""
    payload = key.encode().ljust(size_bytes, b".")
    fields = {"topic": f"stethos/line-3/{kind.name.lower()}", "expiry_s": None} | more
    return Message(key=key, kind=kind, payload=payload, created_ns=created_ns, **fields)  # type: ignore[arg-type]


def gap_message(gap: Gap, now_ns: int) -> Message:
    """The gap as its JSON."""
    return Message(gap.key, Kind.GAP, GAP_TOPIC, msgspec.json.encode(gap), now_ns)


def open_outbox(
    path: Path, max_bytes: int = 1_000_000, clock: Clock | None = None, counters: Counters | None = None
) -> Outbox:
    return Outbox.open(path, max_bytes, gap_message, clock or FakeClock(), counters)


@contextlib.contextmanager
def running_writer(path: Path, link: Sender, clock: Clock | None = None, **options: int) -> Iterator[OutboxWriter]:
    """A writer whose thread runs; stopped, and its last commit made, at the end."""
    writer = OutboxWriter(
        lambda counters: open_outbox(path, counters=counters, **options), link, clock or SystemClock()
    )
    with at_work(writer.run):
        writer.wait_ready(PATIENCE_S)
        yield writer

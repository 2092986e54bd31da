"""What every source is: something that runs until told to stop, and says how its link stands."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import Protocol

from agent.backoff import full_jitter_s
from agent.errors import LinkError
from agent.metrics import Counters

log = logging.getLogger(__name__)


class LinkStatus:
    """How a link stands; written by its reader's thread alone, read by health."""

    def __init__(self) -> None:
        self.is_open = False
        self.opened = 0  # times
        self.error = ""  # the latest, kept after the link is open again
        self.last_arrival_ns: dict[str, int] = {}  # by device, on the monotonic clock
        self.counters = Counters()  # of what the link itself did, beside the bytes that it brought
        self.device_counters: dict[str, Counters] = {}  # where several devices share a link, what it did for each
        self.faults: dict[str, str] = {}  # by device that does not answer on a link that is open: why

    def up(self) -> None:
        self.is_open = True
        self.opened += 1

    def down(self) -> None:
        self.is_open = False

    def failed(self, error: str) -> None:
        self.error = error  # first: who sees that the link is down reads why
        self.is_open = False

    def failure(self, device: str) -> str | None:
        """Why nothing comes from `device`: the link is down, or it is open and the device does not answer; else None."""
        return self.faults.get(device) if self.is_open else self.error or "not open yet"

    def counts(self, device: str) -> dict[str, int]:
        """What the link did, and what it did for `device`."""
        own = self.device_counters.get(device)
        return {**self.counters.snapshot(), **(own.snapshot() if own is not None else {})}


class Source(Protocol):
    """Reads one link and puts what arrives into a ChunkBuffer; opens it again for ever."""

    @property
    def name(self) -> str:
        """For logs and the thread's name."""
        ...

    @property
    def status(self) -> LinkStatus:
        """How the link stands now."""
        ...

    def run(self, stop: threading.Event) -> None:
        """Read until `stop` is set; returns within about a second of that."""
        ...


def keep_open(name: str, status: LinkStatus, session: Callable[[], None], stop: threading.Event, cap_s: float) -> None:
    """Run `session` (open, read, close) until `stop` is set, again after each end of it, backing off up to `cap_s`."""
    attempt = 0
    while not stop.is_set():
        opened = status.opened
        try:
            session()
        except LinkError as error:
            if str(error) != status.error or status.is_open:  # once, however many attempts follow
                log.warning("%s: %s", name, error)
            status.failed(str(error))
        except (
            Exception
        ) as error:  # the thread's outermost guard: whatever breaks one session is shown, and the next begins
            log.exception("%s: a session broke", name)
            status.failed(f"{type(error).__name__}: {error}")
        attempt = 1 if status.opened > opened else attempt + 1
        fraction = random.random()  # noqa: S311 - jitter, no secret
        stop.wait(full_jitter_s(attempt, first_s=0.25, cap_s=cap_s, fraction=fraction))
    status.down()

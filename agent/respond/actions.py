"""What a response may do beside starting a program: say something on the broker, or tell a device something over its line."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

from agent.clock import Clock
from agent.decode.schema import StartupCommand
from agent.errors import LinkError, ResponseError, ResponseTimeoutError
from agent.sources.telling import Teller
from agent.types import NANOSECONDS
from agent.upstream.waiting import Done

_SLICE_S = 0.1


class Action(Protocol):
    """One thing that can be done."""

    @property
    def words(self) -> str:
        """For the log and the audit record."""
        ...

    def run(self, alarm: bytes, timeout_s: float, clock: Clock, stop: threading.Event) -> str:
        """Do it for `alarm` (JSON); returns what there is to tell of it. Raises ResponseError, ResponseTimeoutError where time ran out."""
        ...


class Voice(Protocol):
    """The link as responses see it."""

    def say(self, topic: str, payload: bytes, correlation: bytes | None = None, *, done: Done | None = None) -> None:
        """Send something once; `done` hears what became of it."""
        ...


@dataclass(frozen=True, slots=True)
class Publish:
    """An MQTT message on the upstream's broker; without a payload of its own it is the alarm."""

    link: Voice
    topic: str
    payload: str | None

    @property
    def words(self) -> str:
        return f"publish on {self.topic}"

    def run(self, alarm: bytes, timeout_s: float, clock: Clock, stop: threading.Event) -> str:
        """Done when the broker has acknowledged it."""
        over = threading.Event()
        refusals: list[str] = []

        def done(refusal: str | None) -> None:
            refusals.extend([] if refusal is None else [refusal])
            over.set()

        self.link.say(self.topic, alarm if self.payload is None else self.payload.encode(), done=done)
        deadline_ns = clock.monotonic_ns() + round(timeout_s * NANOSECONDS)
        while not over.wait(_SLICE_S):
            if stop.is_set() or clock.monotonic_ns() > deadline_ns:
                raise ResponseTimeoutError(f"the broker did not acknowledge {self.topic} in time")
        if refusals:
            raise ResponseError(f"{self.topic}: {refusals[0]}")
        return ""


@dataclass(frozen=True, slots=True)
class Tell:
    """A command of a device's profile, over its serial line."""

    teller: Teller
    device: str
    name: str
    command: StartupCommand

    @property
    def words(self) -> str:
        return f"tell {self.device} {self.name}"

    def run(self, alarm: bytes, timeout_s: float, clock: Clock, stop: threading.Event) -> str:  # noqa: ARG002 - as every action
        """Done when the device has answered, where its profile says that it does."""
        try:
            self.teller.tell(self.command, timeout_s, stop)
        except LinkError as error:
            raise ResponseError(f"{self.device}: {error}") from error
        return ""

"""Something said to a device over the line that its reader owns: handed over by another thread, which waits, but not for long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.clock import Clock
from agent.decode.schema import StartupCommand
from agent.decode.startup import Conversation, answer_pattern, payload, unanswered
from agent.errors import LinkError
from agent.sources.serial_line import SerialLine
from agent.types import NANOSECONDS

_SLICE_S = 0.1


@dataclass(slots=True)
class _Telling:
    command: StartupCommand
    deadline_ns: int
    over: threading.Event = field(default_factory=threading.Event)
    failure: str | None = None


class Teller:
    """One command at a time; a command that nobody waits for any longer is not said."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: _Telling | None = None

    def tell(self, command: StartupCommand, timeout_s: float, stop: threading.Event) -> None:
        """Have it said, and its answer awaited; raises LinkError where that was not done in time, or before `stop`.

        To be called from another thread than the reader's.
        """
        telling = _Telling(command, self._clock.monotonic_ns() + round(timeout_s * NANOSECONDS))
        with self._lock:
            if self._waiting is not None:
                raise LinkError("another command waits to be said")
            self._waiting = telling
        while not telling.over.wait(_SLICE_S):
            if not stop.is_set() and self._clock.monotonic_ns() < telling.deadline_ns:
                continue
            with self._lock:
                begun = self._waiting is not telling
                if not begun:
                    self._waiting = None
            why = "the agent stops" if stop.is_set() else f"not done within {timeout_s:g} s"
            raise LinkError(f"{why}: {'no answer came' if begun else 'the line is not open'}")
        if telling.failure is not None:
            raise LinkError(telling.failure)

    def carry_out(self, line: SerialLine, take: Callable[[bytes], object], stop: threading.Event) -> None:
        """Say what waits, if anything does; `take` gets every byte that comes meanwhile, for a device that sends goes on sending."""
        with self._lock:
            telling, self._waiting = self._waiting, None
        if telling is None:
            return
        telling.failure = "the line went away"
        try:
            telling.failure = self._said(telling, line, take, stop)
        finally:
            telling.over.set()

    def _said(
        self, telling: _Telling, line: SerialLine, take: Callable[[bytes], object], stop: threading.Event
    ) -> str | None:
        """Why it was not done; None where it was."""
        command = telling.command
        conversation = Conversation(command)
        for _ in range(command.retries + 1):
            line.write(payload(command))
            if answer_pattern(command) is None:
                return None
            now_ns = self._clock.monotonic_ns()
            deadline_ns = min(telling.deadline_ns, now_ns + round(command.timeout_s * NANOSECONDS))
            while (left_ns := deadline_ns - self._clock.monotonic_ns()) > 0 and not stop.is_set():
                data = line.read(min(_SLICE_S, left_ns / NANOSECONDS))
                if data:
                    take(data)
                if conversation.feed(data) is not None:
                    return None
            if stop.is_set() or self._clock.monotonic_ns() >= telling.deadline_ns:
                break
        return unanswered(command, conversation.abandon()).replace("start-up ", "", 1)

"""The thread of responses: takes what alarms ask for, waits to confirm it, does it, and puts what became of it into the journal."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.clock import Clock
from agent.decide.alarm import AlarmEvent, AlarmState
from agent.decide.journal import entry
from agent.decide.responses import Asked, Interlocks, Outcome
from agent.errors import OutboxError, ResponseError, ResponseTimeoutError
from agent.metrics import Counters
from agent.respond.actions import Action
from agent.types import NANOSECONDS, Commit

log = logging.getLogger(__name__)

STATE = "responses"
MAX_WAITING = 256
_LONGEST_WAIT_S = 0.5
_SUBMIT_S = 1.0
_LONGEST_TOLD = 200


@dataclass(frozen=True, slots=True)
class Doing:
    """What a response does, and how long it may take."""

    action: Action
    timeout_s: float


class Responder:
    """`put` may be called from any thread and never waits; `run` is a thread's body. One response is carried out at a time.

    counters: one for each outcome; `unrecorded` where the journal did not take it in time. `dropped` counts events that came while too
    many waited, `Interlocks.overflows` responses.
    """

    def __init__(
        self,
        interlocks: Interlocks,
        doings: Mapping[str, Doing],
        submit: Callable[[Commit, float], None],
        compose: Callable[[AlarmState], bytes],
        clock: Clock,
    ) -> None:
        """`doings` are by ResponseRules.id; `submit` makes a commit durable, or raises OutboxError; `compose` says an alarm as JSON."""
        self.counters = Counters()
        self._interlocks = interlocks
        self._doings = doings
        self._submit = submit
        self._compose = compose
        self._clock = clock
        self._events: queue.Queue[AlarmEvent] = queue.Queue(MAX_WAITING)
        self._dropped = 0
        self._full = False

    @property
    def dropped(self) -> int:
        """Events and responses that were dropped because too many waited."""
        return self._dropped + self._interlocks.overflows

    def restore(self, state: Mapping[str, bytes]) -> None:
        """Remember when each response was last done before the agent stopped."""
        try:
            if STATE in state:
                self._interlocks.restore(state[STATE])
        except ValueError as error:
            log.error("responses may come sooner than their least interval: %s", error)

    def put(self, event: AlarmEvent) -> None:
        """An event that is durable; dropped, and counted, where a response hangs and too many wait."""
        try:
            self._events.put_nowait(event)
        except queue.Full:
            if not self._full:
                log.error("responses hang: %s and what follows is dropped, for %d events wait", event.key, MAX_WAITING)
            self._full = True
            self._dropped += 1
        else:
            self._full = False

    def run(self, stop: threading.Event) -> None:
        """Thread body."""
        while not stop.is_set():
            self._listen()
            while not stop.is_set() and (asked := self._interlocks.due(self._clock.monotonic_ns())) is not None:
                self._respond(asked, stop)
                self._hear()
        if self._interlocks.waiting:
            log.warning("the agent stops: %d responses that waited are not done", self._interlocks.waiting)

    def _listen(self) -> None:
        """Wait for news or for what is due."""
        due_ns = self._interlocks.next_due_ns()
        wait_s = _LONGEST_WAIT_S
        if due_ns is not None:
            wait_s = min(wait_s, max(0.0, (due_ns - self._clock.monotonic_ns()) / NANOSECONDS))
        try:
            event = self._events.get(timeout=max(wait_s, 0.001))
        except queue.Empty:
            return
        self._interlocks.take(event, self._clock.monotonic_ns())
        self._hear()

    def _hear(self) -> None:
        """All news before the next doing: some of it may forbid that."""
        while True:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return
            self._interlocks.take(event, self._clock.monotonic_ns())

    def _respond(self, asked: Asked, stop: threading.Event) -> None:
        doing = self._doings[asked.rules.id]
        outcome: Outcome | None = self._interlocks.forbids(asked, self._clock.now_ns())
        told = ""
        if outcome is None:
            outcome, told = self._do(asked, doing, stop)
        self.counters.add(outcome)
        level = logging.WARNING if outcome in {"failed", "timed_out"} else logging.INFO
        log.log(level, "%s for %s: %s: %s %s", asked.rules.id, asked.alarm.id, doing.action.words, outcome, told)
        self._record(asked, doing, outcome, told)

    def _do(self, asked: Asked, doing: Doing, stop: threading.Event) -> tuple[Outcome, str]:
        try:
            return "done", doing.action.run(self._compose(asked.alarm), doing.timeout_s, self._clock, stop)
        except ResponseTimeoutError as error:
            return "timed_out", str(error)
        except ResponseError as error:
            return "failed", str(error)

    def _record(self, asked: Asked, doing: Doing, outcome: Outcome, told: str) -> None:
        record = {
            "response": asked.rules.id,
            "alarm": asked.alarm.id,
            "on": asked.rules.on,
            "what": doing.action.words,
            "outcome": outcome,
            "told": told[-_LONGEST_TOLD:] or None,
            "time_ns": self._clock.now_ns(),
        }
        commit = Commit(state={STATE: self._interlocks.snapshot()}, journal=(entry("response", record),))
        try:
            self._submit(commit, _SUBMIT_S)
        except OutboxError as error:
            self.counters.add("unrecorded")
            log.error("what became of %s is not in the journal: %s", asked.rules.id, error)

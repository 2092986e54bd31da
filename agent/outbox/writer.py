"""The outbox's thread: takes commits and the broker's answers from other threads, and lets the courier work on them turn by turn."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agent.clock import Clock
from agent.decide.journal import Head
from agent.errors import OutboxError
from agent.metrics import Balance, Counters
from agent.outbox.courier import FORGET_AFTER_NS, Courier, Outcome, Sender, Session
from agent.outbox.message_table import Held
from agent.outbox.salvage import Recovery
from agent.outbox.store import Outbox
from agent.types import NANOSECONDS, Commit, Kind

log = logging.getLogger(__name__)

MAX_WAITING_COMMITS = 256
MAX_WAITING_QUESTIONS = 16
MAX_IN_FLIGHT = 20
_TICK_S = 0.5
_STILL_OPENING_S = 5.0

OpenStore = Callable[[Counters], Outbox]
Question = Callable[[Outbox], None]


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """The outbox as health shows it."""

    held: Mapping[Kind, Held]
    balance: Balance
    in_flight: int
    waiting_commits: int
    refused: Mapping[str, str]  # topic -> the broker's reason
    disk_error: str | None
    recovered: Recovery | None
    journal: Head


class OutboxWriter:
    """Everything but `run` may be called from any thread. `up`, `down`, `acked` and `refused` are the link's to call."""

    def __init__(self, open_store: OpenStore, link: Sender, clock: Clock) -> None:
        """Open the store with `open_store(counters)` in the thread of `run`, which alone touches it."""
        self._open_store = open_store
        self._clock = clock
        self._counters = Counters()
        # Shared, under the condition:
        self._changed = threading.Condition()
        self._commits: deque[Commit] = deque()
        self._outcomes: deque[Outcome] = deque()  # at most one a row in flight
        self._questions: deque[Question] = deque()
        self._session: Session | None = None
        self._state: dict[str, bytes] | None = None
        self._failure: str | None = None
        self._busy = True
        self._status: OutboxStatus | None = None
        # The thread's own:
        self._store: Outbox
        self._courier = Courier(link)

    def wait_ready(self, timeout_s: float, still_opening: Callable[[], None] = lambda: None) -> dict[str, bytes]:
        """The snapshots of the last run, once the store is open; raises OutboxError where it cannot be opened.

        A large file takes its time: `still_opening` is called every few seconds.
        """
        left_s = timeout_s
        with self._changed:
            while not self._changed.wait_for(self._opened_or_failed, min(_STILL_OPENING_S, left_s)) and left_s > 0:
                left_s -= _STILL_OPENING_S
                still_opening()
            if self._state is None:
                raise OutboxError(self._failure or f"the outbox did not open within {timeout_s:g} s; check the disk")
            return dict(self._state)

    def submit(self, commit: Commit, timeout_s: float) -> None:
        """Take `commit` over; raises OutboxError where the disk lags that long behind: keep it, and submit it again."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._commits) < MAX_WAITING_COMMITS, timeout_s):
                reason = self._courier.disk_error or self._failure or "it is too slow for the load"
                raise OutboxError(f"{MAX_WAITING_COMMITS} commits wait for the disk: {reason}")
            self._commits.append(commit)
            self._changed.notify_all()

    def ask(self, question: Question) -> bool:
        """Have `question` read the store in its thread soon, and pass on what it found; False where too many wait already.

        It must be quick, change nothing, and raise nothing but OutboxError, which it passes on itself.
        """
        with self._changed:
            if len(self._questions) >= MAX_WAITING_QUESTIONS:
                return False
            self._questions.append(question)
            self._changed.notify_all()
            return True

    def drain(self, timeout_s: float) -> bool:
        """Wait until all is on disk and the broker has what it takes; False where time ran out before.

        What then remains (the link is down, the broker refuses it) is on disk for the next run.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not (self._busy or self._commits or self._outcomes), timeout_s)

    def up(self, session: int, receive_maximum: int) -> None:
        """Take up sending: connection number `session` stands and takes `receive_maximum` unacknowledged messages."""
        self._set_session(Session(session, min(MAX_IN_FLIGHT, receive_maximum)))

    def down(self, session: int, reason: str) -> None:
        """Forget what was in flight: connection number `session` is over."""
        log.info("link session %d is over: %s", session, reason)
        self._set_session(None)

    def acked(self, row_id: int) -> None:
        """Forget the row: the broker has it."""
        self._put(Outcome(row_id))

    def refused(self, row_id: int, reason: str, *, whole_topic: bool) -> None:
        """Keep the row and try again later; `whole_topic` where the reason is the topic's and not this message's."""
        self._put(Outcome(row_id, reason, whole_topic))

    @property
    def status(self) -> OutboxStatus | None:
        """The state of affairs after the last turn; None before the first."""
        return self._status

    def run(self, stop: threading.Event) -> None:
        """Thread body; may be started again after it raised. Whatever was submitted is committed before it returns."""
        try:
            self._store = self._open_store(self._counters)
            try:
                self._begin()
                while not stop.is_set():
                    self._turn()
                self._finish()
            finally:
                self._store.close()
        except OutboxError as error:
            with self._changed:
                self._failure = str(error)
                self._changed.notify_all()
            raise

    def _opened_or_failed(self) -> bool:
        return self._state is not None or self._failure is not None

    def _begin(self) -> None:
        state = self._store.load_state()
        self._courier.begin(self._store)
        if self._store.recovered is not None:
            log.error("the outbox was damaged and starts anew: %s", self._store.recovered)
        self._show()
        with self._changed:
            self._state, self._failure = state, None
            self._changed.notify_all()

    def _turn(self) -> None:
        commits, outcomes, session = self._next_work()
        now_ns = self._clock.monotonic_ns()
        self._courier.settle(outcomes, session, now_ns)
        if self._courier.save(commits, now_ns):
            self._let_go(commits)
        self._answer()
        self._courier.offer(session, now_ns)
        self._show()
        with self._changed:
            self._busy = self._courier.busy
            self._changed.notify_all()

    def _finish(self) -> None:
        """A last commit of everything handed over, and of what was delivered."""
        with self._changed:
            commits, outcomes, session = self._take()
        now_ns = self._clock.monotonic_ns()
        self._courier.settle(outcomes, session, now_ns)
        if self._courier.save_at_once(commits, now_ns):
            self._let_go(commits)
        self._show()
        if self._commits:
            raise OutboxError(f"{len(self._commits)} commits are lost at the stop: {self._courier.disk_error}")

    def _next_work(self) -> tuple[list[Commit], list[Outcome], Session | None]:
        """What came in, once there is any, or soon in any case."""
        with self._changed:
            timeout_s = FORGET_AFTER_NS / NANOSECONDS if self._courier.forgets_soon else _TICK_S
            self._changed.wait_for(self._has_work, timeout_s)
            self._busy = True
            return self._take()

    def _take(self) -> tuple[list[Commit], list[Outcome], Session | None]:
        """Commits stay in the queue until they are durable."""
        commits, outcomes, session = list(self._commits), list(self._outcomes), self._session
        self._outcomes.clear()
        return commits, outcomes, session

    def _let_go(self, commits: Sequence[Commit]) -> None:
        with self._changed:
            for _ in commits:
                self._commits.popleft()
            self._changed.notify_all()

    def _answer(self) -> None:
        """One question a turn, so that they hold up no commit."""
        with self._changed:
            question = self._questions.popleft() if self._questions else None
        if question is not None:
            question(self._store)

    def _has_work(self) -> bool:
        waits = self._courier.waits_for_disk(self._clock.monotonic_ns())
        changed = not self._courier.sends_in(self._session)
        return bool(self._outcomes or self._questions) or changed or (bool(self._commits) and not waits)

    def _show(self) -> None:
        self._status = OutboxStatus(
            held=self._store.held,
            balance=self._store.balance(),
            in_flight=self._courier.in_flight,
            waiting_commits=len(self._commits),
            refused=self._courier.refused,
            disk_error=self._courier.disk_error,
            recovered=self._store.recovered,
            journal=self._store.journal_head,
        )

    def _set_session(self, session: Session | None) -> None:
        with self._changed:
            self._session = session
            self._changed.notify_all()

    def _put(self, outcome: Outcome) -> None:
        with self._changed:
            self._outcomes.append(outcome)
            self._changed.notify_all()

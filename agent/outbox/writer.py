"""The outbox's thread: makes commits durable, only then announces them, and forgets a row only when the broker has it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from agent.clock import Clock
from agent.decide.journal import Head
from agent.errors import OutboxError
from agent.metrics import Balance, Counters
from agent.outbox.database import DamagedOutboxError
from agent.outbox.refusals import Refusals
from agent.outbox.store import Held, Outbox, Recovery
from agent.types import NANOSECONDS, Commit, Kind, Message, Retained

log = logging.getLogger(__name__)

MAX_WAITING_COMMITS = 256
MAX_WAITING_QUESTIONS = 16
MAX_IN_FLIGHT = 20
_TICK_S = 0.5
# An acknowledged row waits this long for a commit to share its fsync with; a crash meanwhile means one duplicate.
_FORGET_AFTER_NS = NANOSECONDS // 10
_FIRST_DISK_RETRY_NS = NANOSECONDS // 2
_LONGEST_DISK_RETRY_NS = 30 * NANOSECONDS

OpenStore = Callable[[Counters], Outbox]
Question = Callable[[Outbox], None]


class Sender(Protocol):
    """The link as the outbox sees it; both methods only hand over, and never wait for the network."""

    def publish(self, session: int, rows: Sequence[tuple[int, Message]]) -> None:
        """Send rows in the connection numbered `session`; does nothing where that one is over."""
        ...

    def retain(self, retained: Retained) -> None:
        """Make this the value of its topic, now or on connecting."""
        ...


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


class _Session(NamedTuple):
    number: int
    window: int


class _Outcome(NamedTuple):
    row_id: int
    refusal: str | None
    whole_topic: bool


class OutboxWriter:
    """Everything but `run` may be called from any thread. `up`, `down`, `acked` and `refused` are the link's to call."""

    def __init__(self, open_store: OpenStore, link: Sender, clock: Clock) -> None:
        """Open the store with `open_store(counters)` in the thread of `run`, which alone touches it."""
        self._open_store = open_store
        self._link = link
        self._clock = clock
        self._counters = Counters()
        # Shared, under the condition:
        self._changed = threading.Condition()
        self._commits: deque[Commit] = deque()
        self._outcomes: deque[_Outcome] = deque()  # at most one a row in flight
        self._questions: deque[Question] = deque()
        self._session: _Session | None = None
        self._state: dict[str, bytes] | None = None
        self._failure: str | None = None
        self._busy = True
        self._status: OutboxStatus | None = None
        self._beat_ns = clock.monotonic_ns()
        # The thread's own:
        self._store: Outbox
        self._sending_in: int | None = None
        self._in_flight: dict[int, str] = {}  # row id -> topic
        self._delivered: set[int] = set()
        self._forget_at_ns: int | None = None
        self._refusals = Refusals()
        self._disk_error: str | None = None
        self._disk_retries = 0
        self._disk_retry_at_ns = 0

    def wait_ready(self, timeout_s: float) -> dict[str, bytes]:
        """The snapshots of the last run, once the store is open; raises OutboxError where it cannot be opened."""
        with self._changed:
            self._changed.wait_for(lambda: self._state is not None or self._failure is not None, timeout_s)
            if self._state is None:
                raise OutboxError(self._failure or f"the outbox did not open within {timeout_s:g} s; check the disk")
            return dict(self._state)

    def submit(self, commit: Commit, timeout_s: float) -> None:
        """Take `commit` over; raises OutboxError where the disk lags that long behind: keep it, and submit it again."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._commits) < MAX_WAITING_COMMITS, timeout_s):
                reason = self._disk_error or self._failure or "it is too slow for the load"
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
        self._set_session(_Session(session, min(MAX_IN_FLIGHT, receive_maximum)))

    def down(self, session: int, reason: str) -> None:
        """Forget what was in flight: connection number `session` is over."""
        log.info("link session %d is over: %s", session, reason)
        self._set_session(None)

    def acked(self, row_id: int) -> None:
        """Forget the row: the broker has it."""
        self._put(_Outcome(row_id, None, whole_topic=False))

    def refused(self, row_id: int, reason: str, *, whole_topic: bool) -> None:
        """Keep the row and try again later; `whole_topic` where the reason is the topic's and not this message's."""
        self._put(_Outcome(row_id, reason, whole_topic))

    @property
    def last_beat_ns(self) -> int:
        """Monotonic time of the thread's last turn; it turns at least twice a second."""
        return self._beat_ns

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

    def _begin(self) -> None:
        state = self._store.load_state()
        self._sending_in = None
        if self._store.recovered is not None:
            log.error("the outbox was damaged and starts anew: %s", self._store.recovered)
        self._show()
        with self._changed:
            self._state, self._failure = state, None
            self._changed.notify_all()

    def _turn(self) -> None:
        with self._changed:
            self._changed.wait_for(self._has_work, self._wait_s())
            commits, outcomes, session = list(self._commits), list(self._outcomes), self._session
            self._outcomes.clear()
            self._busy = True
        self._beat_ns = self._clock.monotonic_ns()
        self._settle(outcomes, session)
        self._save(commits)
        self._answer()
        self._offer(session)
        self._show()
        with self._changed:
            self._busy = bool(self._in_flight or self._delivered)
            self._changed.notify_all()

    def _finish(self) -> None:
        """A last commit of everything handed over, and of what was delivered, whatever the retry times say."""
        with self._changed:
            commits, outcomes, session = list(self._commits), list(self._outcomes), self._session
            self._outcomes.clear()
        self._settle(outcomes, session)
        self._disk_retry_at_ns = 0
        self._forget_at_ns = 0
        self._save(commits)
        self._show()
        if self._commits:
            raise OutboxError(f"{len(self._commits)} commits are lost at the stop: {self._disk_error}")

    def _settle(self, outcomes: Sequence[_Outcome], session: _Session | None) -> None:
        """Take in what became of rows in flight; those of a connection that is over are in flight no longer."""
        now_ns = self._clock.monotonic_ns()
        for outcome in outcomes:
            topic = self._in_flight.pop(outcome.row_id, None)
            if outcome.refusal is None:
                self._delivered.add(outcome.row_id)
            if topic is None:
                continue
            if outcome.refusal is None:
                self._refusals.clear(outcome.row_id, topic)
            else:
                log.warning("the broker refused a message on %s: %s", topic, outcome.refusal)
                self._refusals.add(outcome.row_id, topic, outcome.refusal, now_ns, whole_topic=outcome.whole_topic)
        if (session and session.number) != self._sending_in:
            self._in_flight.clear()
            self._sending_in = session and session.number
        if self._delivered and self._forget_at_ns is None:
            self._forget_at_ns = now_ns + _FORGET_AFTER_NS

    def _save(self, commits: Sequence[Commit]) -> None:
        """One transaction for all that waits; then, and only then, its retained topics are told to the link."""
        now_ns = self._clock.monotonic_ns()
        due = bool(commits) or (self._forget_at_ns is not None and now_ns >= self._forget_at_ns)
        if not due or now_ns < self._disk_retry_at_ns:
            return
        messages = [message for commit in commits for message in commit.messages]
        state = {name: value for commit in commits for name, value in commit.state.items()}
        journal = [entry for commit in commits for entry in commit.journal]
        try:
            if (
                messages or state or journal or self._delivered
            ):  # else there is somebody to answer, and nothing to write
                self._store.commit(messages, state, self._delivered, self._in_flight, journal)
                self._disk_error, self._disk_retries, self._disk_retry_at_ns = None, 0, 0
        except DamagedOutboxError:
            raise
        except OutboxError as error:
            self._postpone(error, now_ns)
            return
        self._delivered.clear()
        self._forget_at_ns = None
        for commit in commits:
            for retained in commit.retained:
                self._link.retain(retained)
            for answer in commit.answers:
                answer()
        with self._changed:
            for _ in commits:
                self._commits.popleft()
            self._changed.notify_all()

    def _postpone(self, error: OutboxError, now_ns: int) -> None:
        """Keep everything in memory, which is bounded, and try again later."""
        wait_ns = min(_LONGEST_DISK_RETRY_NS, _FIRST_DISK_RETRY_NS << min(self._disk_retries, 16))
        self._disk_error = str(error)
        self._disk_retries += 1
        self._disk_retry_at_ns = now_ns + wait_ns
        log.error("nothing can be stored, next try in %.1f s: %s", wait_ns / NANOSECONDS, error)

    def _answer(self) -> None:
        """One question a turn, so that they hold up no commit."""
        with self._changed:
            question = self._questions.popleft() if self._questions else None
        if question is not None:
            question(self._store)

    def _offer(self, session: _Session | None) -> None:
        """Fill the link's window with the rows worth most."""
        room = 0 if session is None else session.window - len(self._in_flight)
        if session is None or room <= 0:
            return
        now_ns = self._clock.monotonic_ns()
        busy = {*self._in_flight, *self._delivered, *self._refusals.waiting_rows(now_ns)}
        try:
            rows = self._store.next_rows(room, busy, self._refusals.waiting_topics(now_ns))
        except DamagedOutboxError:
            raise
        except OutboxError as error:
            self._postpone(error, now_ns)
            return
        self._in_flight.update((row.id, row.message.topic) for row in rows)
        if rows:
            self._link.publish(session.number, rows)

    def _has_work(self) -> bool:
        waits_for_disk = self._clock.monotonic_ns() < self._disk_retry_at_ns
        changed = (self._session and self._session.number) != self._sending_in
        return bool(self._outcomes or self._questions) or changed or (bool(self._commits) and not waits_for_disk)

    def _wait_s(self) -> float:
        return _TICK_S if self._forget_at_ns is None else _FORGET_AFTER_NS / NANOSECONDS

    def _show(self) -> None:
        self._status = OutboxStatus(
            held=self._store.held,
            balance=self._store.balance(),
            in_flight=len(self._in_flight),
            waiting_commits=len(self._commits),
            refused=self._refusals.reasons(),
            disk_error=self._disk_error,
            recovered=self._store.recovered,
            journal=self._store.journal_head,
        )

    def _set_session(self, session: _Session | None) -> None:
        with self._changed:
            self._session = session
            self._changed.notify_all()

    def _put(self, outcome: _Outcome) -> None:
        with self._changed:
            self._outcomes.append(outcome)
            self._changed.notify_all()

"""Between the store and the link, on an explicit time: what is durable is announced, what the broker has is forgotten, all else stays."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from agent.errors import OutboxError
from agent.outbox.database import DamagedOutboxError
from agent.outbox.refusals import Refusals
from agent.outbox.store import Outbox
from agent.types import NANOSECONDS, Commit, Message, Retained

log = logging.getLogger(__name__)

# An acknowledged row waits this long for a commit to share its fsync with; a crash meanwhile means one duplicate.
FORGET_AFTER_NS = NANOSECONDS // 10
_FIRST_DISK_RETRY_NS = NANOSECONDS // 2
_LONGEST_DISK_RETRY_NS = 30 * NANOSECONDS


class Sender(Protocol):
    """The link as the outbox sees it; both methods only hand over, and never wait for the network."""

    def publish(self, session: int, rows: Sequence[tuple[int, Message]]) -> None:
        """Send rows in the connection numbered `session`; does nothing where that one is over."""
        ...

    def retain(self, retained: Retained) -> None:
        """Make this the value of its topic, now or on connecting."""
        ...


class Session(NamedTuple):
    """A connection that stands, and how many unacknowledged messages it takes."""

    number: int
    window: int


class Outcome(NamedTuple):
    """What became of a row in flight; without a refusal the broker has it. `whole_topic` where the reason is the topic's."""

    row_id: int
    refusal: str | None = None
    whole_topic: bool = False


class Courier:
    """For the one thread that opened the store. Every `now_ns` is monotonic time."""

    def __init__(self, link: Sender) -> None:
        """Nothing can be asked of it before `begin`."""
        self._link = link
        self._store: Outbox
        self._sending_in: int | None = None
        self._in_flight: dict[int, str] = {}  # row id -> topic
        self._delivered: set[int] = set()
        self._forget_at_ns: int | None = None
        self._refusals = Refusals()
        self._disk_retries = 0
        self._disk_retry_at_ns = 0
        self.disk_error: str | None = None

    def begin(self, store: Outbox) -> None:
        """Work on `store` from now on; what was in flight is sent again."""
        self._store = store
        self._sending_in = None

    @property
    def in_flight(self) -> int:
        """Rows that the broker has not answered yet."""
        return len(self._in_flight)

    @property
    def busy(self) -> bool:
        """Whether there are rows that wait for the broker's answer, or for their deletion."""
        return bool(self._in_flight or self._delivered)

    @property
    def forgets_soon(self) -> bool:
        """Whether rows that the broker has wait for a commit to share."""
        return self._forget_at_ns is not None

    @property
    def refused(self) -> Mapping[str, str]:
        """The broker's reasons by topic."""
        return self._refusals.reasons()

    def waits_for_disk(self, now_ns: int) -> bool:
        """Whether the next try to store anything is still to come."""
        return now_ns < self._disk_retry_at_ns

    def sends_in(self, session: Session | None) -> bool:
        """Whether `session` is the one that rows in flight belong to."""
        return (session and session.number) == self._sending_in

    def settle(self, outcomes: Sequence[Outcome], session: Session | None, now_ns: int) -> None:
        """Take in what became of rows in flight; those of a connection that is over are in flight no longer."""
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
        if not self.sends_in(session):
            self._in_flight.clear()
            self._sending_in = session and session.number
        if self._delivered and self._forget_at_ns is None:
            self._forget_at_ns = now_ns + FORGET_AFTER_NS

    def save(self, commits: Sequence[Commit], now_ns: int) -> bool:
        """One transaction for all of `commits`; then, and only then, their retained topics and answers are told.

        False where nothing was due, or the disk failed: then keep the commits, and try again later.
        """
        due = bool(commits) or (self._forget_at_ns is not None and now_ns >= self._forget_at_ns)
        if not due or self.waits_for_disk(now_ns):
            return False
        messages = [message for commit in commits for message in commit.messages]
        state = {name: value for commit in commits for name, value in commit.state.items()}
        journal = [entry for commit in commits for entry in commit.journal]
        try:
            if (
                messages or state or journal or self._delivered
            ):  # else somebody is to be answered, and nothing is to be written
                self._store.commit(messages, state, self._delivered, self._in_flight, journal)
                self.disk_error, self._disk_retries, self._disk_retry_at_ns = None, 0, 0
        except DamagedOutboxError:
            raise
        except OutboxError as error:
            self._postpone(error, now_ns)
            return False
        self._delivered.clear()
        self._forget_at_ns = None
        for commit in commits:
            for retained in commit.retained:
                self._link.retain(retained)
            for answer in commit.answers:
                answer()
        return True

    def save_at_once(self, commits: Sequence[Commit], now_ns: int) -> bool:
        """The last `save`, whatever the retry times say."""
        self._disk_retry_at_ns = 0
        self._forget_at_ns = now_ns
        return self.save(commits, now_ns)

    def offer(self, session: Session | None, now_ns: int) -> None:
        """Fill the link's window with the rows worth most."""
        room = 0 if session is None else session.window - len(self._in_flight)
        if session is None or room <= 0:
            return
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

    def _postpone(self, error: OutboxError, now_ns: int) -> None:
        """Everything stays in memory, which is bounded, and is tried again later."""
        wait_ns = min(_LONGEST_DISK_RETRY_NS, _FIRST_DISK_RETRY_NS << min(self._disk_retries, 16))
        self.disk_error = str(error)
        self._disk_retries += 1
        self._disk_retry_at_ns = now_ns + wait_ns
        log.error("nothing can be stored, next try in %.1f s: %s", wait_ns / NANOSECONDS, error)

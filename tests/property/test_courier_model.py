"""Courier and store against two dictionaries, through any sequence of writes, flushes, sends, answers, disk errors, crashes and restarts."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.errors import OutboxError
from agent.outbox.courier import FORGET_AFTER_NS, Courier, Outcome, Session
from agent.outbox.refusals import LONGEST_WAIT_S
from agent.outbox.store import Outbox
from agent.types import NANOSECONDS, Commit, Kind, Message, Retained
from tests.harness.outbox import a_message, open_outbox
from tests.harness.small_disk import memory_folder

commits = st.builds(
    lambda messages, state, retained: Commit(tuple(messages), state, tuple(retained)),
    st.lists(st.builds(a_message, st.integers(0, 40).map("m{}".format), st.sampled_from(Kind)), max_size=4),
    st.dictionaries(st.sampled_from("ab"), st.binary(max_size=9), max_size=2),
    st.lists(st.builds(Retained, st.sampled_from("xy"), st.binary(max_size=9)), max_size=2),
)


class Wire:
    """The link: remembers what it was given."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, int, Message]] = []
        self.retained: list[Retained] = []

    def publish(self, session: int, rows: Sequence[tuple[int, Message]]) -> None:
        self.sent += [(session, row_id, message) for row_id, message in rows]

    def retain(self, retained: Retained) -> None:
        self.retained.append(retained)


class CourierAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.open = contextlib.ExitStack()
        self.folder = self.open.enter_context(memory_folder())
        self.files = 0
        self.now_ns = 0
        self.sessions = 0
        self.session: Session | None = None
        self.unsaved: list[Commit] = []
        self.held: dict[str, Message] = {}  # durable and not forgotten, in the order of entering
        self.state: dict[str, bytes] = {}
        self.answered: dict[int, str] = {}  # the broker has them, and the disk still holds them
        self.in_flight: dict[int, Message] = {}
        self.earlier: dict[int, Message] = {}  # sent in a connection that is over
        self.entered: set[str] = set()
        self.arrived: set[str] = set()
        self.start(self.folder / "0.db")

    def start(self, path: Path) -> None:
        self.path = path
        self.store = open_outbox(path)
        assert self.store.recovered is None
        self.wire = Wire()
        self.courier = Courier(self.wire)
        self.courier.begin(self.store)
        self.session = None
        self.unsaved, self.answered, self.in_flight, self.earlier = [], {}, {}, {}

    def teardown(self) -> None:
        """Whatever happened: once the link stands and the disk works, everything that became durable arrives and is forgotten."""
        self.now_ns += (LONGEST_WAIT_S + 30) * NANOSECONDS
        self.connect(20)
        while self.held:
            self.send()
            self.settle([Outcome(row_id) for row_id in self.in_flight])
            self.flush()
        assert self.entered == self.arrived
        self.store.close()
        self.open.close()

    @rule(commit=commits)
    def write(self, commit: Commit) -> None:
        self.unsaved.append(commit)

    @rule()
    def flush(self) -> None:
        self.wire.retained.clear()
        self.now_ns += FORGET_AFTER_NS
        waits = self.courier.waits_for_disk(self.now_ns)
        saved = self.courier.save(self.unsaved, self.now_ns)
        assert saved == (bool(self.unsaved or self.answered) and not waits)
        if saved:
            self.are_durable()

    def are_durable(self) -> None:
        assert self.wire.retained == [each for commit in self.unsaved for each in commit.retained]
        for key in self.answered.values():
            del self.held[key]
        for commit in self.unsaved:
            for message in commit.messages:
                self.held.setdefault(message.key, message)
                self.entered.add(message.key)
            self.state |= commit.state
        self.unsaved, self.answered = [], {}

    @precondition(lambda self: self.unsaved)
    @rule()
    def flush_to_a_failing_disk(self) -> None:
        """What only tells somebody something needs no disk, and is told all the same."""
        self.wire.retained.clear()
        waits = self.courier.waits_for_disk(self.now_ns)
        writes = any(commit.messages or commit.state or commit.journal for commit in self.unsaved) or self.answered
        with patch.object(Outbox, "commit", side_effect=OutboxError("the disk is gone")):
            saved = self.courier.save(self.unsaved, self.now_ns)
        assert saved == (not writes and not waits)
        if saved:
            self.are_durable()
        assert saved or self.wire.retained == []

    @rule(window=st.integers(1, 5))
    def connect(self, window: int) -> None:
        self.sessions += 1
        self.session = Session(self.sessions, window)
        self.settle([])

    @rule()
    def disconnect(self) -> None:
        self.session = None
        self.settle([])

    def settle(self, outcomes: list[Outcome]) -> None:
        known = self.earlier | self.in_flight
        for outcome in outcomes:
            self.in_flight.pop(outcome.row_id, None)
            message = known[outcome.row_id]
            if outcome.refusal is None and message.key in self.held:
                self.arrived.add(message.key)
                self.answered[outcome.row_id] = message.key
        if not self.courier.sends_in(self.session):
            self.earlier |= self.in_flight
            self.in_flight = {}
        self.courier.settle(outcomes, self.session, self.now_ns)

    @rule()
    def send(self) -> None:
        self.wire.sent.clear()
        self.courier.offer(self.session, self.now_ns)
        keys = [message.key for _, _, message in self.wire.sent]
        assert self.session is not None or not keys
        assert [message for _, _, message in self.wire.sent] == [self.held[key] for key in keys]
        busy = {message.key for message in self.in_flight.values()} | set(self.answered.values())
        assert not busy & set(keys)
        kinds = [message.kind for _, _, message in self.wire.sent]
        assert kinds == sorted(kinds)
        self.in_flight |= {row_id: message for _, row_id, message in self.wire.sent}
        assert self.session is None or len(self.in_flight) <= self.session.window

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), reason=st.sampled_from([None, None, "refused"]), whole_topic=st.booleans())
    def answer(self, data: st.DataObject, reason: str | None, whole_topic: bool) -> None:
        row_ids = data.draw(st.lists(st.sampled_from(sorted(self.in_flight)), min_size=1, unique=True))
        self.settle([Outcome(row_id, reason, whole_topic) for row_id in row_ids])

    @precondition(lambda self: self.earlier)
    @rule(data=st.data())
    def answer_late(self, data: st.DataObject) -> None:
        """The broker's answer was under way when the connection ended."""
        row_id = data.draw(st.sampled_from(sorted(self.earlier)))
        if self.earlier[row_id].key in self.held and row_id not in self.answered:
            self.settle([Outcome(row_id)])

    @rule(seconds=st.integers(1, LONGEST_WAIT_S))
    def wait(self, seconds: int) -> None:
        self.now_ns += seconds * NANOSECONDS

    @rule()
    def crash(self) -> None:
        """A process that comes up on the files as they lie there: what was not flushed is gone, what was not forgotten is sent again."""
        self.files += 1
        path = self.folder / f"{self.files}.db"
        for suffix in ("", "-wal"):
            shutil.copy(f"{self.path}{suffix}", f"{path}{suffix}")
        self.store.close()
        self.start(path)

    @rule()
    def restart(self) -> None:
        self.wire.retained.clear()
        if self.courier.save_at_once(self.unsaved, self.now_ns):
            self.are_durable()
        self.store.close()
        self.start(self.path)

    @invariant()
    def the_disk_holds_what_the_model_holds(self) -> None:
        rows = [row.message for row in self.store.next_rows(1000)]
        assert rows == sorted(self.held.values(), key=lambda message: message.kind)
        assert self.store.load_state() == self.state

    @invariant()
    def nothing_durable_is_lost_and_the_books_balance(self) -> None:
        assert self.entered <= self.arrived | set(self.held)
        assert self.store.balance().missing == 0


CourierAgainstModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCourierAgainstModel = CourierAgainstModel.TestCase

"""The store against a dictionary that does the same by plain Python, through any sequence of calls and reopenings."""

from __future__ import annotations

import contextlib

import hypothesis.strategies as st
import msgspec
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.outbox.policy import EVICTION_ORDER, Gap, row_bytes
from agent.outbox.store import MIN_BYTES
from agent.types import Kind, Message
from tests.harness.outbox import GAP_TOPIC, a_message, open_outbox
from tests.harness.small_disk import memory_folder

MAX_BYTES = MIN_BYTES
keys = st.integers(0, 60).map("m{}".format)
new_messages = st.lists(
    st.builds(
        a_message,
        keys,
        st.sampled_from([Kind.ALARM, Kind.SUMMARY]),
        size_bytes=st.integers(10, 4000),
        created_ns=st.integers(0, 10**9),
    ),
    max_size=5,
)


class OutboxAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.open = contextlib.ExitStack()
        self.folder = self.open.enter_context(memory_folder())
        self.store = open_outbox(self.folder / "outbox.db", MAX_BYTES)
        self.messages: list[Message] = []  # in the order in which they entered
        self.state: dict[str, bytes] = {}
        self.lost: dict[str, int] = {}

    def teardown(self) -> None:
        self.store.close()
        self.open.close()

    @rule(messages=new_messages, state=st.dictionaries(st.sampled_from("ab"), st.binary(max_size=20), max_size=2))
    def commit(self, messages: list[Message], state: dict[str, bytes]) -> None:
        self.store.commit(messages, state)
        self.state |= state
        for message in messages:
            if message.key not in {held.key for held in self.messages}:
                self.messages.append(message)
        self.evict()

    @rule(data=st.data())
    def deliver_some(self, data: st.DataObject) -> None:
        rows = self.store.next_rows(100)
        gone = data.draw(st.lists(st.sampled_from(rows), unique=True, max_size=4)) if rows else []
        self.store.delete([row.id for row in gone])
        for row in gone:
            if row.message.kind is Kind.GAP:
                self.lost = {}
            else:
                self.messages = [held for held in self.messages if held.key != row.message.key]

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = open_outbox(self.folder / "outbox.db", MAX_BYTES)
        assert self.store.recovered is None

    def evict(self) -> None:
        """Until the gap record, too, fits in; its size is what the store says, as its text is not the model's matter."""
        gap_bytes = sum(held.bytes for kind, held in self.store.held.items() if kind is Kind.GAP)
        before = len(self.messages)
        while sum(map(row_bytes, self.messages)) + (gap_bytes if self.lost else 0) > MAX_BYTES:
            kind = next(kind for kind in EVICTION_ORDER if any(held.kind is kind for held in self.messages))
            victim = next(held for held in self.messages if held.kind is kind)
            self.messages.remove(victim)
            self.lost[kind.name.lower()] = self.lost.get(kind.name.lower(), 0) + 1
        assert gap_bytes or len(self.messages) == before

    @invariant()
    def rows_are_those_of_the_model_in_order_of_worth(self) -> None:
        rows = [row.message for row in self.store.next_rows(1000)]
        assert [row for row in rows if row.kind is not Kind.GAP] == sorted(self.messages, key=lambda held: held.kind)
        assert [row.kind for row in rows] == sorted(row.kind for row in rows)

    @invariant()
    def one_gap_record_says_what_was_lost(self) -> None:
        gaps = [row.message for row in self.store.next_rows(1000) if row.message.topic == GAP_TOPIC]
        assert len(gaps) == (1 if self.lost else 0)
        if gaps:
            gap = msgspec.json.decode(gaps[0].payload, type=Gap)
            assert {loss.kind: loss.count for loss in gap.losses} == self.lost

    @invariant()
    def state_bytes_and_books_fit(self) -> None:
        assert self.store.load_state() == self.state
        assert sum(held.bytes for held in self.store.held.values()) <= MAX_BYTES
        assert self.store.balance().missing == 0


OutboxAgainstModel.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestOutboxAgainstModel = OutboxAgainstModel.TestCase

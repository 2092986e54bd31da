"""The courier's times and words: how long it waits for a disk, when it forgets, what it logs; the order of things is model-checked."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

import pytest

from agent.errors import OutboxError
from agent.outbox.courier import FORGET_AFTER_NS, Courier, Outcome, Session
from agent.outbox.database import DamagedOutboxError
from agent.outbox.store import Outbox
from agent.types import NANOSECONDS, Commit, Kind, Message, Retained
from tests.harness.outbox import a_message, open_outbox

SESSION = Session(1, 3)


class Wire:
    def __init__(self) -> None:
        self.sent: list[tuple[int, int, str]] = []

    def publish(self, session: int, rows: Sequence[tuple[int, Message]]) -> None:
        self.sent += [(session, row_id, message.key) for row_id, message in rows]

    def retain(self, retained: Retained) -> None:
        raise AssertionError("no state in these tests")

    @property
    def ids(self) -> list[int]:
        return [row_id for _, row_id, _ in self.sent]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Outbox]:
    outbox = open_outbox(tmp_path / "outbox.db")
    yield outbox
    outbox.close()


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def courier(store: Outbox, wire: Wire) -> Courier:
    courier = Courier(wire)
    courier.begin(store)
    return courier


def alarms(*keys: str) -> Commit:
    return Commit(tuple(a_message(key) for key in keys))


def offer(courier: Courier, *keys: str) -> None:
    """Save alarms, and offer them to a connection that is up."""
    courier.save([alarms(*keys)], 0)
    courier.settle([], SESSION, 0)
    courier.offer(SESSION, 0)


def failing(method: str = "commit", error: type[OutboxError] = OutboxError):
    return patch.object(Outbox, method, side_effect=error("the disk is gone"))


def test_a_failing_disk_is_tried_again_after_half_a_second_then_twice_as_long_up_to_half_a_minute(
    courier: Courier, caplog: pytest.LogCaptureFixture
) -> None:
    now_ns, waits = 0, []
    for _ in range(9):
        with failing():
            assert not courier.save([alarms("a")], now_ns)
        wait_ns = next(ns for ns in range(0, 10**11, NANOSECONDS // 2) if not courier.waits_for_disk(now_ns + ns))
        assert courier.waits_for_disk(now_ns + wait_ns - 1)
        waits.append(wait_ns / NANOSECONDS)
        now_ns += wait_ns
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert courier.disk_error == "the disk is gone"
    assert caplog.messages[1] == "nothing can be stored, next try in 1.0 s: the disk is gone"
    assert caplog.records[1].levelno == logging.ERROR


def test_while_it_waits_for_the_disk_nothing_is_tried_and_one_success_ends_the_waiting(courier: Courier) -> None:
    with failing():
        courier.save([alarms("a")], 0)
    with patch.object(Outbox, "commit") as commit:
        assert not courier.save([alarms("a")], NANOSECONDS // 2 - 1)
        commit.assert_not_called()
        assert courier.save([alarms("a")], NANOSECONDS // 2)
    assert courier.disk_error is None
    assert not courier.waits_for_disk(0)
    with failing():
        courier.save([alarms("b")], NANOSECONDS)
    assert not courier.waits_for_disk(NANOSECONDS + NANOSECONDS // 2)


def test_the_last_save_is_tried_whatever_the_retry_times_say(courier: Courier, store: Outbox) -> None:
    with failing():
        courier.save([alarms("a")], 0)
    assert courier.save_at_once([alarms("a")], 1)
    assert [row.message.key for row in store.next_rows(9)] == ["a"]


def test_an_acknowledged_row_waits_a_tenth_of_a_second_for_a_commit_to_share(
    courier: Courier, store: Outbox, wire: Wire
) -> None:
    offer(courier, "a")
    assert (courier.in_flight, courier.busy, courier.forgets_soon) == (1, True, False)
    courier.settle([Outcome(wire.ids[0])], SESSION, 5)
    assert (courier.in_flight, courier.busy, courier.forgets_soon) == (0, True, True)
    assert not courier.save([], 5 + FORGET_AFTER_NS - 1)
    courier.settle([], SESSION, 50)  # does not put it off
    assert store.balance().held == 1
    assert courier.save([], 5 + FORGET_AFTER_NS)
    assert (courier.busy, courier.forgets_soon, store.balance().held) == (False, False, 0)
    assert not courier.save([], 10**12)


def test_a_refused_row_is_logged_with_its_topic_and_waits_while_its_topic_goes_on(
    courier: Courier, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    offer(courier, "a", "b")
    courier.settle([Outcome(wire.ids[0], "too large")], SESSION, 0)
    assert caplog.messages == ["the broker refused a message on stethos/line-3/alarm: too large"]
    assert courier.refused == {"stethos/line-3/alarm": "too large"}
    courier.offer(SESSION, NANOSECONDS - 1)
    assert len(wire.sent) == 2
    courier.offer(SESSION, NANOSECONDS)
    assert wire.sent[2] == wire.sent[0]
    courier.settle([Outcome(wire.ids[0])], SESSION, NANOSECONDS)
    assert courier.refused == {}


def test_a_refused_topic_waits_as_a_whole(courier: Courier, wire: Wire) -> None:
    courier.save([alarms("a", "b"), Commit((a_message("s", Kind.SUMMARY),))], 0)
    courier.settle([], Session(1, 1), 0)
    courier.offer(Session(1, 1), 0)
    courier.settle([Outcome(wire.ids[0], "not authorized", whole_topic=True)], Session(1, 1), 0)
    courier.offer(Session(1, 1), 0)
    assert [key for _, _, key in wire.sent] == ["a", "s"]


def test_an_outcome_of_a_row_that_is_not_in_flight_refuses_nothing(courier: Courier) -> None:
    courier.settle([Outcome(7, "refused")], SESSION, 0)
    assert courier.refused == {}
    assert not courier.busy


def test_what_the_broker_took_after_the_connection_ended_is_still_forgotten(
    courier: Courier, store: Outbox, wire: Wire
) -> None:
    offer(courier, "a")
    courier.settle([], None, 0)
    assert courier.in_flight == 0
    courier.settle([Outcome(wire.ids[0])], None, 0)
    assert courier.save([], FORGET_AFTER_NS)
    assert store.balance().held == 0


def test_the_window_is_never_exceeded_and_a_new_connection_sends_again(courier: Courier, wire: Wire) -> None:
    courier.save([alarms("a", "b", "c", "d")], 0)
    courier.settle([], SESSION, 0)
    for _ in range(2):
        courier.offer(SESSION, 0)
    assert [key for _, _, key in wire.sent] == ["a", "b", "c"]
    courier.settle([], Session(2, 1), 0)
    courier.offer(Session(2, 1), 0)
    assert wire.sent[3] == (2, wire.ids[0], "a")
    assert not courier.sends_in(None)
    assert courier.sends_in(Session(2, 20))


def test_a_store_begun_anew_sends_what_was_in_flight_again(courier: Courier, store: Outbox, wire: Wire) -> None:
    offer(courier, "a")
    courier.begin(store)
    courier.settle([], SESSION, 0)
    courier.offer(SESSION, 0)
    assert [key for _, _, key in wire.sent] == ["a", "a"]


def test_a_read_that_fails_is_a_failing_disk(courier: Courier, wire: Wire) -> None:
    courier.save([alarms("a")], 0)
    courier.settle([], SESSION, 0)
    with failing("next_rows"):
        courier.offer(SESSION, 0)
    assert courier.disk_error == "the disk is gone"
    assert courier.waits_for_disk(0)
    assert (courier.in_flight, wire.sent) == (0, [])


@pytest.mark.parametrize("method", ["commit", "next_rows"])
def test_damage_is_passed_on_to_be_mended(courier: Courier, method: str) -> None:
    courier.settle([], SESSION, 0)
    with failing(method, DamagedOutboxError), pytest.raises(DamagedOutboxError):
        courier.save([alarms("a")], 0)
        courier.offer(SESSION, 0)


def test_without_a_connection_nothing_is_sent(courier: Courier, wire: Wire) -> None:
    courier.save([alarms("a")], 0)
    courier.settle([], None, 0)
    courier.offer(None, 0)
    assert wire.sent == []


def test_one_transaction_takes_all_of_the_commits_what_is_delivered_and_what_is_not_to_be_evicted(
    courier: Courier, wire: Wire
) -> None:
    offer(courier, "a", "b")
    courier.settle([Outcome(wire.ids[0])], SESSION, 0)
    one, two = a_message("c"), a_message("d")
    with patch.object(Outbox, "commit") as commit:
        assert courier.save([Commit((one,), {"s": b"1"}, (), (b"x",)), Commit((two,), {"s": b"2"}, (), (b"y",))], 1)
        messages, state, _, in_flight, journal = commit.call_args.args
    assert (messages, state, journal, list(in_flight)) == ([one, two], {"s": b"2"}, [b"x", b"y"], [wire.ids[1]])


def test_an_outcome_of_an_unknown_row_hides_no_other(courier: Courier, wire: Wire) -> None:
    offer(courier, "a")
    courier.settle([Outcome(7), Outcome(wire.ids[0], "too large")], SESSION, 0)
    assert courier.refused == {"stethos/line-3/alarm": "too large"}


def test_a_topic_that_was_refused_is_so_no_longer_once_the_broker_takes_a_row_of_it(
    courier: Courier, wire: Wire
) -> None:
    offer(courier, "a")
    courier.settle([Outcome(wire.ids[0], "not authorized", whole_topic=True)], SESSION, 0)
    courier.offer(SESSION, NANOSECONDS)
    courier.settle([Outcome(wire.ids[1])], SESSION, NANOSECONDS)
    assert courier.refused == {}

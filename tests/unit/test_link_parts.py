"""What waits, what is under way, and what is held back on a link: fair, bounded, and never for ever."""

from __future__ import annotations

import pytest

from agent.errors import LinkError
from agent.types import NANOSECONDS, Retained
from agent.upstream.flight import MAX_IN_FLIGHT, MAX_IN_FLIGHT_BYTES, PUBACK_TIMEOUT_NS, Flight
from agent.upstream.suspects import Suspects
from agent.upstream.waiting import MAX_QUEUED_ANSWERS, MAX_QUEUED_ROWS, Outgoing, Waiting
from tests.harness.outbox import a_message

BIRTH = Retained("availability", b"online")


def row(row_id: int, size_bytes: int = 10) -> Outgoing:
    return Outgoing("alarm", bytes(size_bytes), retain=False, row_id=row_id)


def rows(count: int) -> list[tuple[int, object]]:
    return [(number, a_message(f"m{number}")) for number in range(count)]


def taken(waiting: Waiting, most: int = 1_000) -> list[str | int]:
    """Topics of states and answers, ids of rows, in the order in which they are to be said."""
    said: list[str | int] = []
    while len(said) < most and (outgoing := waiting.take()) is not None:
        said.append(outgoing.topic if outgoing.row_id is None else outgoing.row_id)
    return said


def test_a_connection_begins_with_the_birth_and_then_serves_states_and_rows_by_turns() -> None:
    waiting = Waiting(BIRTH)
    for topic in ("health", "device"):
        waiting.put_state(Retained(topic, b"1"))
    waiting.put_rows(waiting.begin(), rows(3))
    assert taken(waiting) == ["availability", 0, "health", 1, "device", 2]


def test_a_state_that_is_renewed_as_fast_as_it_is_said_holds_nothing_up() -> None:
    waiting = Waiting(BIRTH)
    waiting.put_rows(waiting.begin(), rows(5))
    said = []
    while 4 not in said:
        waiting.put_state(Retained("health", b"newer"))
        said += taken(waiting, 1)
        assert len(said) < 20
    assert [each for each in said if isinstance(each, int)] == [0, 1, 2, 3, 4]


def test_only_the_newest_value_of_a_state_is_said() -> None:
    waiting = Waiting(BIRTH)
    waiting.begin()
    taken(waiting)
    for number in range(100):
        waiting.put_state(Retained("health", str(number).encode()))
    newest = waiting.take()
    assert newest is not None
    assert newest.payload == b"99"
    assert waiting.take() is None


def test_rows_and_answers_end_with_their_connection_and_states_do_not() -> None:
    waiting = Waiting(BIRTH)
    session = waiting.begin()
    waiting.put_rows(session, rows(2))
    answer = Outgoing("answer", b"", retain=False)
    assert waiting.put_answer(answer)
    assert waiting.end() == [answer]
    waiting.put_rows(session, rows(2))
    assert not waiting.put_answer(answer)
    assert waiting.answers_dropped == 2
    assert waiting.begin() == session + 1
    waiting.put_rows(session, rows(2))
    assert taken(waiting) == ["availability"]


def test_what_waits_is_bounded() -> None:
    waiting = Waiting(BIRTH)
    session = waiting.begin()
    waiting.put_rows(session, rows(MAX_QUEUED_ROWS))
    with pytest.raises(LinkError, match="at once"):
        waiting.put_rows(session, rows(1))
    answers = [waiting.put_answer(Outgoing("answer", b"", retain=False)) for _ in range(MAX_QUEUED_ANSWERS + 7)]
    assert answers.count(False) == waiting.answers_dropped == 7


def test_a_flight_is_bounded_in_messages_and_in_bytes_and_room_comes_with_answers() -> None:
    flight = Flight(65_535)
    for mid in range(MAX_IN_FLIGHT):
        assert flight.has_room
        flight.add(mid, row(mid), 0)
    assert not flight.has_room
    flight.answered(0)
    assert flight.has_room
    large = Flight(65_535)
    large.add(1, row(1, MAX_IN_FLIGHT_BYTES), 0)
    assert not large.has_room
    assert large.answered(1).row_id == 1
    assert large.has_room
    assert Flight(3).window == 3


def test_only_the_oldest_message_decides_whether_the_broker_has_gone_silent() -> None:
    flight = Flight(20)
    assert flight.overdue(10 * PUBACK_TIMEOUT_NS) is None
    flight.add(1, row(1), 0)
    flight.add(2, row(2), NANOSECONDS)
    assert flight.overdue(PUBACK_TIMEOUT_NS) is None
    overdue = flight.overdue(PUBACK_TIMEOUT_NS + 1)
    assert overdue is not None
    assert overdue.row_id == 1
    flight.answered(1)
    assert flight.overdue(PUBACK_TIMEOUT_NS + 1) is None
    assert [outgoing.row_id for outgoing in flight.unanswered()] == [2]


def test_two_connections_may_end_over_a_message_by_chance() -> None:
    suspects = Suspects()
    for _ in range(2):
        suspects.note(row(1), "closed", certain=False)
        assert suspects.held_back(row(1)) is None
    suspects.note(row(1), "closed", certain=False)
    assert suspects.held_back(row(1)) == "3 connections ended over it, the last so: closed"
    assert suspects.held_back(row(2)) is None
    assert suspects.held_back(row(1)) is None, "once, and then it is tried again"


def test_each_further_end_holds_a_message_back_twice_as_often_up_to_a_bound() -> None:
    suspects, skips = Suspects(), []
    for _ in range(9):
        suspects.note(row(1), "too large", certain=True)
        skips.append(sum(suspects.held_back(row(1)) is not None for _ in range(100)))
    assert skips == [1, 2, 4, 8, 16, 32, 32, 32, 32]


def test_an_answer_clears_the_suspicion_and_states_are_known_by_their_topic() -> None:
    suspects, state = Suspects(), Outgoing("health", b"1", retain=True)
    for suspect in (row(1), state):
        suspects.note(suspect, "closed", certain=True)
    suspects.clear(row(1))
    assert suspects.held_back(row(1)) is None
    assert suspects.held_back(state._replace(payload=b"2")) is not None
    for number in range(2, 200):
        suspects.note(row(number), "closed", certain=True)
    assert suspects.held_back(state) is None, "the oldest suspicion makes room"

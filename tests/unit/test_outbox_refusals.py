"""Refused rows and topics wait longer each time, within bounds, and others never wait for them."""

from __future__ import annotations

from agent.outbox.refusals import LONGEST_WAIT_S, MAX_ROWS, Refusals
from agent.types import NANOSECONDS


def test_a_row_waits_twice_as_long_after_each_refusal_up_to_a_cap() -> None:
    refusals, now_ns, waits = Refusals(), 0, []
    for _ in range(12):
        refusals.add(7, "t", "too large", now_ns, whole_topic=False)
        waited = next(s for s in range(1, 1000) if not refusals.waiting_rows(now_ns + s * NANOSECONDS))
        waits.append(waited)
        now_ns += waited * NANOSECONDS
    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == LONGEST_WAIT_S


def test_rows_refused_together_with_their_topic_earn_one_wait() -> None:
    refusals = Refusals()
    for row_id in range(20):
        refusals.add(row_id, "t", "not authorized", 0, whole_topic=True)
    assert refusals.waiting_topics(0) == ["t"]
    assert refusals.waiting_rows(0) == []
    assert refusals.waiting_topics(NANOSECONDS) == []


def test_a_row_taken_at_last_clears_its_topic_and_the_wait_starts_small_again() -> None:
    refusals = Refusals()
    refusals.add(1, "t", "not authorized", 0, whole_topic=True)
    refusals.add(1, "t", "not authorized", NANOSECONDS, whole_topic=True)
    refusals.clear(1, "t")
    assert refusals.reasons() == {}
    refusals.add(2, "t", "not authorized", 0, whole_topic=True)
    assert refusals.waiting_topics(NANOSECONDS) == []


def test_past_the_bound_a_whole_topic_waits() -> None:
    refusals = Refusals()
    for row_id in range(MAX_ROWS + 50):
        refusals.add(row_id, "t", "too large", 0, whole_topic=False)
    assert len(refusals.waiting_rows(0)) == MAX_ROWS
    assert refusals.waiting_topics(0) == ["t"]
    assert refusals.reasons() == {"t": "too large"}

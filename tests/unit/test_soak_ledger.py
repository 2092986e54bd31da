"""The soak's books: what is lost, twice, unexpected or unaccounted for is found, and what an outage hides is not asked for."""

from __future__ import annotations

import json

from tests.soak.ledger import HEAL_S, SEEN_S, Fault, Outage, Raised, Received, holes, lost, match

SECOND = 1_000_000_000
FAULT = Fault("m", 100.0, 102.0, 1_000 * SECOND, 1_008 * SECOND)


def alarm(alarm_id: str, revision: int, **more: object) -> bytes:
    body = {"id": alarm_id, "revision": revision, "after": {"machine": "m", "raised_ns": 1_005 * SECOND}}
    return json.dumps({"key": f"{alarm_id}.{revision}", **body, **more}).encode()


def received(*payloads: bytes) -> Received:
    book = Received()
    for payload in payloads:
        book.take("stethos/soak/machine/m/alarm", payload)
    return book


def raised(alarm_id: str, at_s: int = 1_005) -> Raised:
    return Raised("m", alarm_id, at_s * SECOND)


def health(boot_id: str, seq: int, dropped: int = 0, missing_items: int = 0) -> bytes:
    flow = {"outbox": {"in": 10 + missing_items, "out": 7 - dropped, "held": 3, "dropped": dropped}}
    return json.dumps({"boot_id": boot_id, "seq": seq, "flow": flow}).encode()


def test_an_alarm_that_was_raised_and_never_came_is_lost():
    assert lost([raised("a"), raised("b")], received(alarm("a", 1))) == ["b"]


def test_events_before_others_that_never_came_are_holes():
    assert holes(received(alarm("a", 1), alarm("a", 4), alarm("a", 2))) == ["a.3"]
    assert holes(received(alarm("a", 2))) == ["a.1"]
    assert lost([raised("a")], received(alarm("a", 2))) == []


def test_nothing_is_lost_where_everything_came_in_whatever_order():
    book = received(alarm("a", 2), alarm("a", 1))
    assert (lost([raised("a")], book), holes(book)) == ([], [])


def test_the_same_message_twice_is_a_duplicate_and_no_contradiction():
    book = received(alarm("a", 1), alarm("a", 1))
    assert (book.messages, book.duplicates, book.contradictions) == (2, 1, [])


def test_other_bytes_under_the_same_key_are_a_contradiction():
    book = received(alarm("a", 1, peak=1), alarm("a", 1, peak=2))
    assert book.contradictions == ["two messages have the key a.1"]


def test_the_same_event_under_two_keys_is_a_contradiction():
    book = received(alarm("a", 1), alarm("a", 1, key="other"))
    assert len(book.contradictions) == 1
    assert book.raised == {"a": raised("a")}


def test_health_is_kept_by_run_and_its_books_are_checked():
    book = Received()
    for payload in (health("x", 1), health("x", 3, dropped=2), health("x", 2), health("y", 1, dropped=1)):
        book.take("stethos/soak/health", payload)
    assert (book.dropped, book.unaccounted.total(), book.most_held["outbox"]) == (3, 0, 3)
    book.take("stethos/soak/health", health("y", 2, missing_items=1))
    assert book.unaccounted == {"outbox": 1}


def test_the_health_of_a_device_is_not_the_agents():
    book = Received()
    book.take("stethos/soak/device/d/health", b'{"boot_id": "x", "seq": 1, "link": {}}')
    assert book.health == {}


def test_of_a_gap_record_the_latest_revision_counts():
    book = Received()
    for gap, revision, count in (("g", 2, 9), ("g", 1, 4), ("h", 1, 1)):
        losses = [{"kind": "summary", "count": count}]
        book.take("stethos/soak/gap", json.dumps({"id": gap, "revision": revision, "losses": losses}).encode())
    assert book.reported_lost == {"summary": 10}


def test_a_fault_in_plain_sight_must_raise_an_alarm():
    assert match([FAULT], [], [], {}).missed == [FAULT]
    found = match([FAULT], [], [raised("a")], {})
    assert (found.must, found.missed, found.hidden, found.unexpected) == (1, [], 0, [])


def test_an_alarm_where_nothing_failed_is_unexpected():
    assert match([FAULT], [], [raised("a"), raised("b", 1_100)], {}).unexpected == [raised("b", 1_100)]
    other = Raised("n", "c", 1_005 * SECOND)
    assert match([FAULT], [], [other], {}).unexpected == [other]


def test_a_fault_behind_an_outage_may_raise_none():
    for outage in (
        Outage(99.0, 101.0),
        Outage(50.0, FAULT.start_s - HEAL_S + 1),
        Outage(FAULT.end_s + SEEN_S - 1, 200.0, "m"),
    ):
        found = match([FAULT], [outage], [], {})
        assert (found.must, found.missed, found.hidden) == (0, [], 1)


def test_a_fault_well_before_or_behind_an_outage_must():
    for outage in (Outage(50.0, FAULT.start_s - HEAL_S - 1), Outage(FAULT.end_s + SEEN_S + 1, 200.0)):
        assert match([FAULT], [outage], [], {}).missed == [FAULT]


def test_an_outage_of_another_machine_hides_nothing():
    assert match([FAULT], [Outage(99.0, 103.0, "n")], [], {}).must == 1


def test_an_alarm_is_known_by_a_clock_that_was_set_off():
    late = raised("a", 1_005 + 3_600)
    assert match([FAULT], [], [late], {"m": (0, 3_600 * SECOND)}).missed == []
    assert match([FAULT], [], [late], {}).missed == [FAULT]

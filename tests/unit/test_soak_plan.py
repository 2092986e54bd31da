"""The soak's schedule: fixed by its seed, everything in it, and nothing outside of its bounds."""

from __future__ import annotations

import itertools

import pytest

from tests.soak import fleet
from tests.soak.plan import AFTER_S, BEFORE_S, UPSTREAM, Kind, Plan, plan

SECONDS = 600.0


def made(seconds: float = SECONDS, seed: int = 7) -> Plan:
    return plan(seconds, seed, fleet.subjects())


def test_the_seed_and_the_length_fix_everything():
    assert made() == made()
    assert made(seed=8) != made()


def test_all_kinds_happen_in_ten_minutes():
    whole = made()
    happened = {event.kind for event in whole.host}
    happened |= {event.kind for events in whole.subjects.values() for event in events}
    assert happened == set(Kind)


@pytest.mark.parametrize("seconds", [120.0, 600.0, 7_200.0])
@pytest.mark.parametrize("seed", range(5))
def test_everything_is_over_before_the_end_and_begins_after_the_start(seconds, seed):
    whole = made(seconds, seed)
    for events in (whole.host, *whole.subjects.values()):
        assert list(events) == sorted(events, key=lambda event: event.start_s)
        for event in events:
            assert BEFORE_S <= event.start_s < event.end_s <= seconds - AFTER_S


@pytest.mark.parametrize("kinds", [UPSTREAM, (Kind.SIGKILL, Kind.SIGTERM), (Kind.DISK_FULL,), (Kind.CLOCK_STEP,)])
def test_what_befalls_one_thing_never_overlaps(kinds):
    of_it = [event for event in made(7_200.0).host if event.kind in kinds]
    assert of_it
    for before, after in itertools.pairwise(of_it):
        assert before.end_s <= after.start_s


def test_the_daemon_is_left_alive_in_the_last_two_thirds():
    whole = made()
    killed = [event for event in whole.host if event.kind in {Kind.SIGKILL, Kind.SIGTERM}]
    assert max(event.end_s for event in killed) <= whole.long_life_from_s <= SECONDS * 0.4


def test_a_long_run_has_an_outage_that_fills_the_outbox():
    assert any(event.end_s - event.start_s == 90.0 for event in made().host if event.kind in UPSTREAM)


def test_every_machine_fails_now_and_then():
    whole = made()
    for node in fleet.NODES:
        faults = [event for event in whole.subjects[node.name] if event.kind is Kind.MACHINE]
        assert len(faults) >= 4, node


def test_there_are_fifty_devices_of_all_sorts():
    assert len(fleet.NODES) == len({node.name for node in fleet.NODES}) == 50
    assert {node.profile for node in fleet.NODES} == set(fleet.PROFILES)


def test_a_run_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="two minutes"):
        made(60.0)

"""Turns on a bus: live slaves keep their grid, a dead one gets only idle time, and one that comes back is found."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.sources.poll_schedule import PollSchedule, Slave

MS = 1_000_000
SECOND = 1_000 * MS


def run(slaves, seconds, *, poll_ms=5.0, dead=lambda _device, _now_ns: False):
    """Play the bus: a poll takes poll_ms where it is answered, else the slave's time-out; returns polls and skipped turns."""
    schedule, now_ns = PollSchedule(slaves, 0), 0
    polls, skipped = [], Counter()
    while now_ns < seconds * SECOND:
        slave = schedule.turn(now_ns)
        if slave is None:
            wait_ns = schedule.wait_ns(now_ns)
            assert wait_ns > 0, "it would spin"
            now_ns += wait_ns
            continue
        silent = dead(slave.device, now_ns)
        polls.append((slave.device, now_ns))
        now_ns += slave.timeout_ns if silent else round(poll_ms * MS)
        skipped[slave.device] += (schedule.failed if silent else schedule.answered)(slave, now_ns)
    return polls, skipped


def names(polls):
    return Counter(device for device, _ in polls)


def bus(count, *, period_ms=1_000, timeout_ms=500):
    return [Slave(f"d{number}", period_ms * MS, timeout_ms * MS) for number in range(count)]


def test_every_live_slave_is_polled_on_its_grid():
    polls, skipped = run(bus(10), 20)
    assert set(names(polls).values()) == {20}
    assert not any(skipped.values())
    assert [now_ns % SECOND for device, now_ns in polls if device == "d3"] == [15 * MS] * 20, "no drift"


def test_a_dead_slave_beside_nine_costs_them_no_poll_and_no_delay_once_it_is_known():
    dead = lambda device, _: device == "d4"  # noqa: E731
    polls, skipped = run(bus(10), 60, dead=dead)
    assert {count for device, count in names(polls).items() if device != "d4"} == {60}
    assert not any(skipped.values())
    late = [now_ns % SECOND for device, now_ns in polls if device != "d4" and now_ns > 2 * SECOND]
    assert max(late) == 8 * 5 * MS, "never behind a time-out"
    assert 8 <= names(polls)["d4"] <= 10, "at 0 and 1 s, then after 1, 2, 4, 8 s and every 10 s"


def test_a_dead_slave_that_comes_back_is_on_its_grid_again():
    polls, skipped = run(bus(3), 30, dead=lambda device, now_ns: device == "d0" and now_ns < 10 * SECOND)
    back = [now_ns for device, now_ns in polls if device == "d0" and now_ns >= 10 * SECOND]
    assert back[0] < 21 * SECOND
    assert all(now_ns % SECOND < 20 * MS for now_ns in back[1:])
    assert skipped["d0"] == 0, "the turns of its silence are not owed"


def test_one_lost_answer_costs_one_turn():
    failing = iter([True])
    polls, _ = run(bus(2), 10, dead=lambda device, _: device == "d0" and next(failing, False))
    assert names(polls) == {"d0": 10, "d1": 10}


def test_a_bus_that_never_idles_finds_a_dead_slave_all_the_same():
    slaves = [*bus(1, period_ms=10), Slave("slow", SECOND, 500 * MS)]
    polls, skipped = run(slaves, 120, dead=lambda device, _: device == "slow")
    probes = [now_ns for device, now_ns in polls if device == "slow"]
    assert 3 <= len(probes) <= 6
    assert all(after - before >= 30 * SECOND for before, after in pairwise(probes[1:]))
    assert skipped["d0"] == 49 * len(probes), "what a time-out of 500 ms costs a slave that is due every 10 ms"


def test_turns_that_a_slow_bus_has_no_time_for_are_counted():
    polls, skipped = run(bus(4, period_ms=100), 10, poll_ms=50)
    assert sum(names(polls).values()) == 200
    assert 195 <= sum(skipped.values()) <= 200
    assert max(names(polls).values()) - min(names(polls).values()) <= 2, "shared fairly"


def test_slaves_that_are_all_dead_are_asked_in_turn():
    polls, _ = run(bus(3), 60, dead=lambda *_: True)
    assert min(names(polls).values()) >= 6


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(20, 3_000), st.integers(1, 1_000)), min_size=1, max_size=6),
    st.sets(st.integers(0, 5)),
    st.floats(0.5, 30),
)
def test_nobody_is_forgotten_and_nothing_is_lost_uncounted(shapes, dead, poll_ms):
    slaves = [Slave(f"d{i}", period * MS, timeout * MS) for i, (period, timeout) in enumerate(shapes)]
    polls, skipped = run(slaves, 45, poll_ms=poll_ms, dead=lambda device, _: int(device[1:]) in dead)
    taken = names(polls)
    for number, slave in enumerate(slaves):
        assert taken[slave.device] >= 1
        if number not in dead:
            assert taken[slave.device] + skipped[slave.device] == slave.due_ns // slave.period_ns, "each turn before"
            assert 45 * SECOND - slave.due_ns <= slave.period_ns + SECOND, "the turn that is open"

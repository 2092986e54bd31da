"""Alarms of many points beside each other: floods that hold back what may wait, the first out of a group, the load in figures."""

from __future__ import annotations

import pytest

from agent.decide.alarm import AlarmState, Change, Reading
from agent.decide.annunciator import FLOOD, Annunciator
from agent.decide.explanation import unexplained
from agent.decide.isa18 import Action, State
from agent.decide.kpi import AlarmLoad
from agent.decide.machine_alarms import MachineAlarms
from agent.decide.point import AlarmPoint, Sight
from agent.types import NANOSECONDS
from tests.harness.alarms import point_rules

S = NANOSECONDS
MINUTE = 60 * S


def machine(name: str, annunciator: Annunciator, group: str | None = None, priority: str = "low") -> MachineAlarms:
    alarms = MachineAlarms(AlarmPoint(point_rules(S, machine=name, priority=priority)), 10.0)
    alarms.join(annunciator, name, group)
    return alarms


def see(alarms: MachineAlarms, t_ns: int, *, deviates: bool) -> Change:
    point = alarms.points["model"]
    finding = "deviating" if deviates else "normal"
    return point.step(Sight(t_ns - S, t_ns, finding, Reading(strangeness=1.0 if deviates else -1.0)), unexplained)


def flooded() -> tuple[Annunciator, list[MachineAlarms]]:
    """Ten alarms within ten seconds: one more is a flood."""
    annunciator = Annunciator()
    machines = [machine(f"m{n}", annunciator) for n in range(10)]
    assert all(see(each, n * S, deviates=True).event for n, each in enumerate(machines, 1))
    return annunciator, machines


@pytest.mark.parametrize("priority", ["low", "medium"])
def test_what_may_wait_is_not_announced_in_a_flood_but_stands_and_is_listed(priority: str) -> None:
    annunciator, _ = flooded()
    late = machine("late", annunciator, priority=priority)
    change = see(late, 11 * S, deviates=True)
    assert change.event is None
    assert [each.action for each in change.transitions] == [Action.SUPPRESS, Action.RAISE]
    [standing], [hidden] = late.standing, late.hidden
    assert (standing.state, hidden.state, hidden.override.comment) == (State.SUPPRESSED, State.SUPPRESSED, FLOOD)
    assert annunciator.load.report([]).held_back == 1


@pytest.mark.parametrize("priority", ["high", "critical"])
def test_a_high_or_critical_alarm_is_announced_in_any_flood(priority: str) -> None:
    annunciator, _ = flooded()
    for number in range(20):
        urgent = machine(f"urgent{number}", annunciator, priority=priority)
        change = see(urgent, (11 + number) * S, deviates=True)
        assert change.event is not None
        assert change.event.type == "new"


def test_what_still_deviates_when_the_flood_is_over_is_announced_then_and_the_rest_never() -> None:
    annunciator, _ = flooded()
    lasting, passing = machine("lasting", annunciator), machine("passing", annunciator)
    for each in (lasting, passing):
        see(each, 11 * S, deviates=True)
    see(passing, 12 * S, deviates=False)
    assert not annunciator.load.move(10 * MINUTE)
    assert annunciator.load.move(10 * MINUTE + 8 * S)
    [change] = lasting.lift_flood(11 * MINUTE)
    assert change.event is not None
    assert (change.event.type, change.event.after.state, change.event.after.raised_ns) == (
        "new",
        State.UNACKNOWLEDGED,
        11 * S,
    )
    assert [each.event for each in passing.lift_flood(11 * MINUTE)] == [None]
    assert (passing.standing, passing.hidden) == ([], [])


def test_an_alarm_that_was_announced_is_not_taken_back_by_a_flood() -> None:
    annunciator, machines = flooded()
    see(machine("late", annunciator), 11 * S, deviates=True)
    assert annunciator.load.flood
    see(machines[0], 12 * S, deviates=False)
    change = see(machines[0], 13 * S, deviates=True)
    assert change.event is not None
    assert change.event.after.state is State.UNACKNOWLEDGED


def test_a_flood_outlives_a_restart() -> None:
    annunciator, _ = flooded()
    late = machine("late", annunciator)
    see(late, 11 * S, deviates=True)
    again = Annunciator()
    again.load.restore(annunciator.load.snapshot())
    revived = machine("late", again)
    assert revived.restore(late.snapshot()) == []
    assert again.load.flood
    assert revived.hidden[0].override.comment == FLOOD
    assert see(machine("later", again), 12 * S, deviates=True).event is None
    with pytest.raises(ValueError, match="cannot be read"):
        again.load.restore(b"rubbish")


def test_the_first_of_a_group_is_marked_until_the_group_is_quiet_again() -> None:
    annunciator = Annunciator()
    pump, valve = machine("pump", annunciator, "house"), machine("valve", annunciator, "house")
    other = machine("other", annunciator)

    def raised(alarms: MachineAlarms, t_ns: int) -> AlarmState:
        event = see(alarms, t_ns, deviates=True).event
        assert event is not None
        return event.after

    assert raised(pump, S).first_out
    assert not raised(valve, 2 * S).first_out
    assert raised(other, 2 * S).first_out
    see(pump, 3 * S, deviates=False)  # back to normal, but nobody acknowledged it: it still stands
    assert pump.standing[0].first_out
    see(valve, 4 * S, deviates=False)
    assert not raised(valve, 5 * S).first_out


def test_the_load_counts_rates_chattering_and_what_went_stale() -> None:
    load = AlarmLoad()
    for second in (0, 20, 40):
        load.raised("pump", "model", "high", second * S)
    for hour in range(1, 11):
        load.raised("fan", "flow.low", "low", hour * 5 * MINUTE)
    report = load.report([])
    assert report.raised_24_h == 13
    assert report.priorities == {"high": 3, "low": 10}
    assert report.chattering == ["fan.flow.low"]  # the pump chattered an hour ago
    assert report.per_10_min == pytest.approx(13 / 5)
    assert load.report([], "pump").raised_24_h == 3
    load.move(51 * MINUTE + 86_400 * S)
    assert load.report([]).raised_24_h == 0


def test_three_alarms_of_a_point_within_a_minute_are_chattering() -> None:
    load = AlarmLoad()
    for second in (0, 20, 40):
        load.raised("pump", "model", "high", second * S)
    assert load.report([]).chattering == ["pump.model"]
    load.move(70 * S)
    assert load.report([]).chattering == []


def test_an_alarm_whose_machine_deviates_for_over_a_day_is_stale() -> None:
    annunciator = Annunciator()
    pump = machine("pump", annunciator)
    see(pump, S, deviates=True)
    annunciator.load.move(86_400 * S)
    assert annunciator.load.report(pump.standing).stale == []
    annunciator.load.move(86_402 * S)
    assert annunciator.load.report(pump.standing).stale == [pump.standing[0].id]


def test_memory_is_bounded_whatever_chatters() -> None:
    load = AlarmLoad()
    for number in range(5_000):
        load.raised("pump", "model", "high", number)
    assert load.report([]).raised_24_h == 1_000
    assert len(load.snapshot()) < 60_000

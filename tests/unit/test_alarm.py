"""The life of one alarm point: table-driven, then what its events, its acts and its snapshot say."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from agent.decide.alarm import MODEL, Act, AlarmEvent, Change, Transition, alarm_id
from agent.decide.contributions import Contribution
from agent.decide.explanation import Explanation, Picture
from agent.decide.isa18 import Action, Behaviour, RefusedError, State
from agent.decide.lasting import Likelihood
from agent.decide.machine_alarms import MachineAlarms
from agent.decide.point import LONGEST_SHELVING_NS, AlarmPoint
from agent.types import NANOSECONDS
from tests.harness.alarms import point_rules
from tests.harness.streams import verdict

HIGH, BETWEEN, LOW = 0.001, 0.05, 5.0  # rates an hour: over the budget, inside the hysteresis, normal
UNKNOWN = None
PICTURE = Picture(channels=["m.x"], points=1, offset=[0.0], scale=[1.0], data="")


class Alarm:
    """One model's point and the machine around it, stepped by seconds and rates."""

    def __init__(self, on_s: int = 0, off_s: int = 0, *, acknowledge: bool = False, latch: bool = False) -> None:
        rules = point_rules(
            10 * NANOSECONDS,
            on_delay_ns=on_s * NANOSECONDS,
            off_delay_ns=off_s * NANOSECONDS,
            behaviour=Behaviour(acknowledge=acknowledge, latch=latch),
            budget_per_hour=0.01,
        )
        self.point = AlarmPoint(rules)
        self.machine = MachineAlarms(self.point, clear_factor=10.0)

    @property
    def standing(self):
        return self.point.standing


def lifecycle(on_s: int = 0, off_s: int = 0, **behaviour: bool) -> Alarm:
    return Alarm(on_s, off_s, **behaviour)


def likely(rate: float) -> Likelihood:
    return Likelihood(rate, 0.0)


def explanation(leader: str = "m.x") -> Explanation:
    return Explanation(channels=channels(leader), sentence=f"{leader} is loud.", picture=PICTURE)


def channels(leader: str = "m.x") -> list[Contribution]:
    return [Contribution(channel=leader, unit="1", share=1.0, times_usual=3.0, mean=0.0, minimum=0.0, maximum=0.0)]


def step(alarm: Alarm, at_s: int, rate: float | None, leader: str = "m.x", score: float = 1.0) -> AlarmEvent | None:
    seen = verdict(at_s * NANOSECONDS, score, unknown="m.x: 3 of 4 cells missing" if rate is None else None)
    changes = alarm.machine.judge(seen, likely(float("nan") if rate is None else rate), lambda: explanation(leader))
    return changes[0].event if changes else None


def told(alarm: Alarm, windows: Sequence[tuple[int, float | None]]) -> list[tuple[int, str]]:
    events = [(at_s, step(alarm, at_s, rate)) for at_s, rate in windows]
    return [(at_s, event.type) for at_s, event in events if event is not None]


@pytest.mark.parametrize(
    ("story", "delays", "windows", "events"),
    [
        ("normal is silent", (0, 0), [(10, LOW), (20, LOW)], []),
        ("raised and cleared", (0, 0), [(10, LOW), (20, HIGH), (30, LOW)], [(20, "new"), (30, "end")]),
        ("hysteresis holds it", (0, 0), [(10, HIGH), (20, BETWEEN), (30, LOW)], [(10, "new"), (30, "end")]),
        ("hysteresis raises nothing", (0, 0), [(10, BETWEEN), (20, BETWEEN)], []),
        ("a budget met exactly is a deviation", (0, 0), [(10, 0.01)], [(10, "new")]),
        ("the clear rate met exactly is not normal", (0, 0), [(10, HIGH), (20, 0.1)], [(10, "new")]),
        ("on-delay", (20, 0), [(10, HIGH), (20, HIGH), (30, HIGH)], [(30, "new")]),
        ("off-delay", (0, 20), [(10, HIGH), (20, LOW), (30, LOW), (40, LOW)], [(10, "new"), (40, "end")]),
        ("unknown raises nothing", (0, 0), [(10, UNKNOWN), (20, UNKNOWN)], []),
        ("unknown does not interrupt an on-delay", (20, 0), [(10, HIGH), (20, UNKNOWN), (30, HIGH)], [(30, "new")]),
        ("unknown for long does", (20, 0), [(10, HIGH), (20, UNKNOWN), (50, HIGH)], []),
        ("unknown clears nothing", (0, 0), [(10, HIGH), (20, UNKNOWN), (30, HIGH)], [(10, "new"), (20, "update")]),
        ("unknown is told once", (0, 0), [(10, HIGH), (20, UNKNOWN), (30, UNKNOWN)], [(10, "new"), (20, "update")]),
        (
            "flapping data is not chatter",
            (0, 0),
            [(10, HIGH), (20, UNKNOWN), (30, HIGH), (40, UNKNOWN), (50, HIGH), (150, HIGH), (160, UNKNOWN)],
            [(10, "new"), (20, "update"), (150, "update"), (160, "update")],
        ),
        (
            "a second alarm",
            (0, 0),
            [(10, HIGH), (20, LOW), (30, HIGH)],
            [(10, "new"), (20, "end"), (30, "new")],
        ),
    ],
)
def test_life_cycle(story: str, delays: tuple[int, int], windows: list, events: list) -> None:
    assert told(lifecycle(*delays), windows) == events, story


def test_an_alarm_says_who_what_when_and_how_bad() -> None:
    alarm = lifecycle()
    event = step(alarm, 10, HIGH, score=7.5)
    assert event is not None
    assert (event.type, event.revision, event.before) == ("new", 1, None)
    assert event.key == f"{event.after.id}.1"
    assert event.after.id == "m-19700101T000010.000000000Z"
    assert event.after == alarm.standing
    state = event.after
    assert (state.state, state.data, state.raised_ns, state.ended_ns) == (State.ACKNOWLEDGED, "good", 10**10, None)
    assert (state.reading.score, state.reading.exceedances_per_hour, state.budget_per_hour) == (7.5, HIGH, 0.01)
    assert (state.window_start_ns, state.window_end_ns) == (9 * 10**9, 10**10)
    assert (state.channels, state.sentence) == (channels(), "m.x is loud.")
    assert event.picture == PICTURE
    assert step(alarm, 20, LOW).picture is None


def test_an_end_keeps_the_id_and_says_when() -> None:
    alarm = lifecycle()
    new, end = step(alarm, 10, HIGH, score=9.0), step(alarm, 20, LOW, score=0.5)
    assert new is not None
    assert end is not None
    assert end.before == new.after
    assert (end.after.id, end.key, end.after.ended_ns) == (new.after.id, f"{new.after.id}.2", 20 * NANOSECONDS)
    assert (end.after.state, end.after.reading.score, end.after.peak.score) == (State.NORMAL, 0.5, 9.0)
    assert (end.after.reading.exceedances_per_hour, end.after.peak.exceedances_per_hour) == (LOW, HIGH)
    assert alarm.standing is None


def test_a_standing_alarm_follows_every_window_without_an_event() -> None:
    alarm = lifecycle()
    step(alarm, 10, HIGH, score=2.0)
    assert step(alarm, 20, HIGH / 2, score=3.0) is None
    assert alarm.standing is not None
    standing = alarm.standing
    assert (standing.reading.score, standing.peak.score, standing.updated_ns) == (3.0, 3.0, 20 * NANOSECONDS)


def test_another_leading_channel_is_told_after_a_minute() -> None:
    alarm = lifecycle()
    step(alarm, 10, HIGH)
    assert step(alarm, 60, HIGH, leader="m.y") is None
    event = step(alarm, 70, HIGH, leader="m.y")
    assert event is not None
    assert (event.type, event.after.channels[0].channel) == ("update", "m.y")


def test_a_peak_rate_ten_times_lower_is_told() -> None:
    alarm = lifecycle()
    step(alarm, 10, HIGH)
    assert step(alarm, 70, HIGH / 9) is None
    event = step(alarm, 80, HIGH / 10)
    assert event is not None
    assert event.after.peak.exceedances_per_hour == HIGH / 10


def test_an_alarm_whose_leaders_alternate_for_a_day_tells_about_once_an_hour() -> None:
    alarm = lifecycle()
    events = [step(alarm, at_s, HIGH, leader=f"m.{at_s // 10 % 7}") for at_s in range(10, 86_400, 10)]
    assert 20 <= sum(event is not None for event in events) <= 32


def test_channels_are_explained_only_where_an_event_may_need_it() -> None:
    asked = []
    alarm = lifecycle()
    for at_s in range(10, 70, 10):
        alarm.machine.judge(verdict(at_s * NANOSECONDS), likely(LOW), lambda: asked.append("normal") or explanation())
    for at_s in range(70, 130, 10):
        alarm.machine.judge(verdict(at_s * NANOSECONDS), likely(HIGH), lambda: asked.append("raised") or explanation())
    assert asked == ["raised"]


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_counts_as_unknown(score: float) -> None:
    assert step(lifecycle(), 10, HIGH, score=score) is None


def test_a_restored_alarm_goes_on_as_if_nothing_had_happened() -> None:
    windows = [
        (10, HIGH),
        (20, HIGH),
        (30, HIGH),
        (40, UNKNOWN),
        (50, LOW),
        (60, LOW),
        (70, LOW),
        (80, HIGH),
        (100, HIGH),
    ]
    straight, restarted = lifecycle(20, 20), lifecycle(20, 20)
    for at_s, rate in windows:
        following = lifecycle(20, 20)
        assert following.machine.restore(restarted.machine.snapshot()) == []
        restarted = following
        assert step(restarted, at_s, rate) == step(straight, at_s, rate)
        assert restarted.standing == straight.standing


@pytest.mark.parametrize(
    ("snapshot", "complaint"),
    [
        (b"", "cannot be read"),
        (b"\xff{", "cannot be read"),
        (b'{"version":1,"machine":"m","point":"model","condition":{}}', "cannot be read"),
        (b'{"machine":"other","point":"model","condition":{}}', "is of 'other/model'"),
        (b'{"machine":"m","point":"model","condition":{"deviating":true}}', "contradicts itself"),
        (
            b'{"machine":"m","point":"model","condition":{"deviating":true},"status":{"active":true}}',
            "contradicts itself",
        ),
    ],
)
def test_a_snapshot_that_cannot_be_used_is_refused_and_changes_nothing(snapshot: bytes, complaint: str) -> None:
    alarm = lifecycle()
    step(alarm, 10, HIGH)
    before = alarm.standing
    with pytest.raises(ValueError, match=complaint):
        alarm.point.restore(snapshot)
    assert alarm.standing == before


def test_events_are_json_that_reads_back() -> None:
    event = step(lifecycle(), 10, HIGH)
    assert msgspec.json.decode(msgspec.json.encode(event), type=AlarmEvent) == event


@pytest.mark.parametrize("raised_ns", [-(2**63), -1, 0, 2**63 - 1])
def test_every_event_time_has_an_id(raised_ns: int) -> None:
    assert alarm_id("m", MODEL, raised_ns).startswith("m-")
    assert alarm_id("m", MODEL, raised_ns).endswith(f".{raised_ns % NANOSECONDS:09d}Z")


def act(alarm: Alarm, action: Action, at_s: int, until_s: int | None = None) -> Change:
    until_ns = None if until_s is None else until_s * NANOSECONDS
    return alarm.machine.act(
        MODEL, action, Act(by="ada", comment="seen", time_ns=at_s * NANOSECONDS, until_ns=until_ns)
    )


def test_an_alarm_that_nobody_acknowledged_stands_after_it_cleared_and_ends_when_somebody_does() -> None:
    alarm = lifecycle(acknowledge=True)
    assert told(alarm, [(10, HIGH), (20, LOW)]) == [(10, "new"), (20, "update")]
    assert alarm.standing.state is State.RETURNED
    assert (alarm.standing.cleared_ns, alarm.standing.ended_ns) == (20 * NANOSECONDS, None)
    event = act(alarm, Action.ACK, 30).event
    assert event is not None
    assert (event.type, event.after.state, event.after.acknowledged.by) == ("end", State.NORMAL, "ada")
    assert alarm.standing is None


def test_an_alarm_raised_again_before_it_ended_is_the_same_alarm_once_more() -> None:
    alarm = lifecycle(acknowledge=True)
    first = step(alarm, 10, HIGH)
    step(alarm, 20, LOW)
    again = step(alarm, 30, HIGH)
    assert again.type == "update"
    assert (again.after.id, again.after.occurrences, again.after.cleared_ns) == (first.after.id, 2, None)


def test_a_latched_alarm_ends_by_a_reset_alone() -> None:
    alarm = lifecycle(acknowledge=True, latch=True)
    step(alarm, 10, HIGH)
    with pytest.raises(RefusedError, match="still deviates"):
        act(alarm, Action.RESET, 12)
    act(alarm, Action.ACK, 15)
    assert step(alarm, 20, LOW).after.state is State.LATCHED_ACKNOWLEDGED
    assert act(alarm, Action.RESET, 30).event.type == "end"


def test_a_shelved_alarm_is_silent_until_its_time_is_over_and_then_is_news() -> None:
    alarm = lifecycle()
    hidden = act(alarm, Action.SHELVE, 5, until_s=100)
    assert hidden.event is None
    assert [each.state for each in alarm.machine.hidden] == [State.SHELVED]
    assert told(alarm, [(10, HIGH), (20, HIGH), (90, HIGH)]) == []
    assert alarm.machine.expire(99 * NANOSECONDS) == []
    (change,) = alarm.machine.expire(100 * NANOSECONDS)
    assert (change.event.type, change.event.after.raised_ns) == ("new", 10 * NANOSECONDS)
    assert alarm.machine.hidden == []


def test_what_cleared_while_it_was_shelved_ends_or_was_never_told() -> None:
    told_before, never_told = lifecycle(), lifecycle()
    step(told_before, 10, HIGH)
    for alarm in (told_before, never_told):
        act(alarm, Action.SHELVE, 15, until_s=100)
        step(alarm, 20, HIGH)
        assert step(alarm, 30, LOW) is None
    assert [change.event.type for change in told_before.machine.expire(100 * NANOSECONDS)] == ["end"]
    assert [change.event for change in never_told.machine.expire(100 * NANOSECONDS)] == [None]
    assert told_before.standing is never_told.standing is None


@pytest.mark.parametrize("until_ns", [None, 0, LONGEST_SHELVING_NS + 1])
def test_nothing_is_shelved_for_ever(until_ns: int | None) -> None:
    with pytest.raises(RefusedError):
        lifecycle().machine.act(MODEL, Action.SHELVE, Act(by="ada", comment="", time_ns=0, until_ns=until_ns))


def test_a_point_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(RefusedError, match="no alarm point 'rotor'; there are model"):
        lifecycle().machine.act("rotor", Action.ACK, Act(by="ada", comment="", time_ns=0))


def test_every_transition_says_who_and_from_where_to_where() -> None:
    alarm = lifecycle(acknowledge=True)
    (raised,) = alarm.machine.judge(verdict(10 * NANOSECONDS), likely(HIGH), explanation)
    (first,) = raised.transitions
    assert (first.action, first.before, first.after) == (Action.RAISE, State.NORMAL, State.UNACKNOWLEDGED)
    assert act(alarm, Action.ACK, 30).transitions == (
        Transition(
            machine="m",
            point=MODEL,
            alarm=first.alarm,
            action=Action.ACK,
            before=State.UNACKNOWLEDGED,
            after=State.ACKNOWLEDGED,
            time_ns=30 * NANOSECONDS,
            by="ada",
            comment="seen",
        ),
    )

"""The life of an alarm: table-driven, then what its events and its snapshot say."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from agent.decide.alarm import AlarmEvent, AlarmLifecycle, AlarmRules, State, alarm_id
from agent.decide.contributions import Contribution
from agent.types import NANOSECONDS
from tests.harness.streams import verdict

HIGH, BETWEEN, LOW = 0.001, 0.05, 5.0  # rates an hour: over the budget, inside the hysteresis, normal
UNKNOWN = None


def lifecycle(on_s: int = 0, off_s: int = 0) -> AlarmLifecycle:
    rules = AlarmRules(
        machine="m",
        priority="high",
        budget_per_hour=0.01,
        clear_factor=10.0,
        on_delay_ns=on_s * NANOSECONDS,
        off_delay_ns=off_s * NANOSECONDS,
    )
    return AlarmLifecycle(rules, hop_ns=10 * NANOSECONDS)


def channels(leader: str = "m.x") -> list[Contribution]:
    return [Contribution(channel=leader, unit="1", share=1.0, times_usual=3.0, mean=0.0, minimum=0.0, maximum=0.0)]


def step(
    alarm: AlarmLifecycle, at_s: int, rate: float | None, leader: str = "m.x", score: float = 1.0
) -> AlarmEvent | None:
    seen = verdict(at_s * NANOSECONDS, score, unknown="m.x: 3 of 4 cells missing" if rate is None else None)
    return alarm.step(seen, float("nan") if rate is None else rate, lambda: channels(leader))


def told(alarm: AlarmLifecycle, windows: Sequence[tuple[int, float | None]]) -> list[tuple[int, str]]:
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
    assert (state.state, state.data, state.raised_ns, state.ended_ns) == (State.UNACKNOWLEDGED, "good", 10**10, None)
    assert (state.score, state.exceedances_per_hour, state.budget_per_hour) == (7.5, HIGH, 0.01)
    assert (state.window_start_ns, state.window_end_ns) == (9 * 10**9, 10**10)
    assert state.channels == channels()


def test_an_end_keeps_the_id_and_says_when() -> None:
    alarm = lifecycle()
    new, end = step(alarm, 10, HIGH, score=9.0), step(alarm, 20, LOW, score=0.5)
    assert new is not None
    assert end is not None
    assert end.before == new.after
    assert (end.after.id, end.key, end.after.ended_ns) == (new.after.id, f"{new.after.id}.2", 20 * NANOSECONDS)
    assert (end.after.state, end.after.score, end.after.peak_score) == (State.NORMAL, 0.5, 9.0)
    assert (end.after.exceedances_per_hour, end.after.peak_exceedances_per_hour) == (LOW, HIGH)
    assert alarm.standing is None


def test_a_standing_alarm_follows_every_window_without_an_event() -> None:
    alarm = lifecycle()
    step(alarm, 10, HIGH, score=2.0)
    assert step(alarm, 20, HIGH / 2, score=3.0) is None
    assert alarm.standing is not None
    assert (alarm.standing.score, alarm.standing.peak_score, alarm.standing.updated_ns) == (3.0, 3.0, 20 * NANOSECONDS)


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
    assert event.after.peak_exceedances_per_hour == HIGH / 10


def test_an_alarm_whose_leaders_alternate_for_a_day_tells_about_once_an_hour() -> None:
    alarm = lifecycle()
    events = [step(alarm, at_s, HIGH, leader=f"m.{at_s // 10 % 7}") for at_s in range(10, 86_400, 10)]
    assert 20 <= sum(event is not None for event in events) <= 32


def test_channels_are_explained_only_where_an_event_may_need_it() -> None:
    asked = []
    alarm = lifecycle()
    for at_s in range(10, 70, 10):
        alarm.step(verdict(at_s * NANOSECONDS), LOW, lambda: asked.append("normal") or channels())
    for at_s in range(70, 130, 10):
        alarm.step(verdict(at_s * NANOSECONDS), HIGH, lambda: asked.append("raised") or channels())
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
        following.restore(restarted.snapshot())
        restarted = following
        assert step(restarted, at_s, rate) == step(straight, at_s, rate)
        assert restarted.standing == straight.standing


@pytest.mark.parametrize(
    ("snapshot", "complaint"),
    [
        (b"", "cannot be read"),
        (b"\xff{", "cannot be read"),
        (b'{"version":2,"machine":"m","condition":{}}', "cannot be read"),
        (b'{"machine":"other","condition":{}}', "of machine 'other'"),
        (b'{"machine":"m","condition":{"deviating":true}}', "contradicts itself"),
    ],
)
def test_a_snapshot_that_cannot_be_used_is_refused_and_changes_nothing(snapshot: bytes, complaint: str) -> None:
    alarm = lifecycle()
    step(alarm, 10, HIGH)
    before = alarm.standing
    with pytest.raises(ValueError, match=complaint):
        alarm.restore(snapshot)
    assert alarm.standing == before


def test_events_are_json_that_reads_back() -> None:
    event = step(lifecycle(), 10, HIGH)
    assert msgspec.json.decode(msgspec.json.encode(event), type=AlarmEvent) == event


@pytest.mark.parametrize("raised_ns", [-(2**63), -1, 0, 2**63 - 1])
def test_every_event_time_has_an_id(raised_ns: int) -> None:
    assert alarm_id("m", raised_ns).startswith("m-")
    assert alarm_id("m", raised_ns).endswith(f".{raised_ns % NANOSECONDS:09d}Z")

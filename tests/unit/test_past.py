"""Earlier alarms: which one a new one is like, what operators said of it, how many are remembered, and what outlives a restart."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.decide.achieved import FalseAlarms
from agent.decide.alarm import MODEL, Act, AlarmEvent, Change
from agent.decide.contributions import Contribution, Expectation
from agent.decide.explanation import Explanation
from agent.decide.isa18 import Action, Behaviour, RefusedError, State
from agent.decide.lasting import Likelihood
from agent.decide.likeness import LIKE, PastAlarm, Similar, alike, in_words, similarity
from agent.decide.machine_alarms import MachineAlarms
from agent.decide.past import LONGEST_COMMENT, MOST_REMEMBERED
from agent.decide.point import AlarmPoint
from agent.types import NANOSECONDS
from tests.harness.alarms import point_rules
from tests.harness.streams import verdict

S = NANOSECONDS
START_S = 1_793_000_000  # 2026-10-26 07:33:20
SHARES = st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1), min_size=1)


class Machine:
    """One model's point; each alarm lasts from one window to the next."""

    def __init__(self, **behaviour: bool) -> None:
        rules = point_rules(10 * S, behaviour=Behaviour(**behaviour), budget_per_hour=0.01)
        self.alarms = MachineAlarms(AlarmPoint(rules), clear_factor=10.0)
        self.achieved = FalseAlarms(0.01, 10 * S, "bundle")
        self.at_s = START_S

    def see(self, rate: float, **shares: float) -> AlarmEvent | None:
        self.at_s += 600
        changes = self.alarms.judge(verdict(self.at_s * S, 1.0), Likelihood(rate, 0.0), lambda: explained(**shares))
        for change in changes:
            self.achieved.take(change)
        return changes[0].event if changes else None

    def alarm(self, **shares: float) -> AlarmEvent:
        """Raised, told and cleared."""
        raised = self.see(1e-3, **shares)
        assert raised is not None
        self.see(5.0)
        return raised

    def act(self, action: Action, comment: str, judgement: str | None = None, alarm: str | None = None) -> Change:
        act = Act(by="Meier", comment=comment, time_ns=self.at_s * S, verdict=judgement)
        change = self.alarms.act(MODEL, action, act, alarm)
        self.achieved.take(change)
        return change

    @property
    def counts(self) -> tuple[int, int, int]:
        told = self.achieved.report()
        return told.raised, told.confirmed_true, told.confirmed_false


def explained(**shares: float) -> Explanation:
    band = Expectation(low=0, high=1, spread=1, usual_spread=1, spread_times=1, band_hz=(118.0, 122.0), band_times=4.0)
    channels = [
        Contribution(
            channel=f"m.{name}", unit="1", share=share, times_usual=2, mean=0, minimum=0, maximum=0, expected=band
        )
        for name, share in shares.items()
    ]
    return Explanation(channels=channels, sentence="It is loud.", picture=None)


def past(number: int, shares: dict[str, float], **changes: object) -> PastAlarm:
    alarm = PastAlarm(
        id=f"m-{number}", point=MODEL, raised_ns=number, cleared_ns=number + 5 * S, peak_strangeness=1.0, shares=shares
    )
    return msgspec.structs.replace(alarm, **changes)


@given(SHARES, SHARES, st.integers(0, 60).map(lambda power: 2.0**power))  # by which floats grow without rounding
@example({"a": 0.5}, {"a": 2.2e-313, "b": 2.2e-313}, 1.0)
@example({"a": 5e-324}, {"a": 5e-324, "b": 1.5e-323}, 2.0**60)
def test_similarity_is_the_cosine_whatever_the_order_and_the_size(one: dict, other: dict, times: float) -> None:
    found = similarity(one, other)
    assert 0 <= found <= 1
    assert found == similarity(other, one) == similarity(dict(reversed(one.items())), other)
    assert similarity({name: share * times for name, share in one.items()}, other) == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize(
    ("one", "other", "cosine"),
    [
        ({"a": 1.0}, {"a": 0.2}, 1.0),
        ({"a": 1.0}, {"b": 1.0}, 0.0),
        ({"a": 1.0}, {"a": 0.5, "b": 0.5}, 0.5**0.5),
        ({"a": 0.6, "b": 0.4}, {"a": 0.4, "b": 0.6}, 0.48 / 0.52),
        ({"a": 0.0}, {"a": 1.0}, 0.0),
        ({}, {"a": 1.0}, 0.0),
    ],
)
def test_the_formula_by_hand(one: dict, other: dict, cosine: float) -> None:
    assert similarity(one, other) == pytest.approx(cosine)


def test_the_most_similar_come_first_of_those_the_latest_and_what_is_unlike_or_not_over_does_not_come() -> None:
    known = [
        past(1, {"a": 1.0}),
        past(2, {"a": 0.8, "b": 0.2}),
        past(3, {"a": 0.5, "b": 0.5}),
        past(4, {"a": 1.0}, point="heat.high"),
        past(5, {"a": 1.0}, cleared_ns=None),
        past(6, {"a": 0.9}),
        past(7, {"a": 0.8, "b": 0.2}),
    ]
    found = alike(MODEL, {"a": 1.0}, known)
    assert [each.id for each in found] == ["m-6", "m-1", "m-7"]
    assert [each.similarity for each in found] == [1.0, 1.0, 0.97]
    assert alike(MODEL, {"a": 1.0}, reversed(known)) == found
    assert all(each.lasted_s == 5.0 for each in found)
    assert LIKE > 0.5**0.5


def test_shares_that_differ_in_their_last_bits_alone_are_in_order_of_time() -> None:
    known = [past(1, {"a": 0.7, "b": 0.3}), past(2, {"a": 0.7 + 1e-9, "b": 0.3 - 1e-9})]
    assert [each.id for each in alike(MODEL, {"a": 0.7, "b": 0.3}, known)] == ["m-2", "m-1"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({}, "Like the one of 2026-10-26 07:33."),
        ({"by": "Meier", "comment": "seen"}, "Like the one of 2026-10-26 07:33, of which Meier said: seen."),
        (
            {"by": "Meier", "comment": "Bearing changed.", "verdict": "true"},
            "Like the one of 2026-10-26 07:33, which Meier called a true alarm: Bearing changed.",
        ),
    ],
)
def test_the_sentence_says_when_and_what_was_said(words: dict, sentence: str) -> None:
    (similar,) = alike(MODEL, {"a": 1.0}, [past(START_S * S, {"a": 1.0}, **words)])
    assert in_words([similar]) == sentence


def test_the_sentence_prefers_a_verdict_to_a_comment_and_a_comment_to_nothing() -> None:
    def similar(name: str, comment: str, judgement: str | None) -> Similar:
        return Similar(
            id=name, raised_ns=0, lasted_s=1, similarity=1, peak_strangeness=1, band_hz=None, verdict=judgement,
            by=name, comment=comment,
        )  # fmt: skip

    nothing, comment, judged = similar("n", "", None), similar("c", "hm", None), similar("j", "ok", "false")
    assert "j called a false alarm" in in_words([nothing, comment, judged])
    assert "c said: hm" in in_words([nothing, comment])
    assert in_words([]) == ""


def test_a_new_alarm_says_which_it_is_like_and_what_operators_said_of_it() -> None:
    machine = Machine()
    first = machine.alarm(x=0.9, y=0.1)
    assert (first.after.similar, first.after.sentence) == ([], "It is loud.")
    machine.act(Action.ACK, "bearing is worn", "true")
    machine.alarm(y=1.0)
    second = machine.see(1e-3, x=0.8, y=0.2)
    assert second is not None
    (similar,) = second.after.similar
    assert (similar.id, similar.verdict, similar.by, similar.comment) == (
        first.after.id,
        "true",
        "Meier",
        "bearing is worn",
    )
    assert (similar.lasted_s, similar.band_hz, similar.peak_strangeness) == (600.0, (118.0, 122.0), 1.0)
    assert second.after.sentence == (
        "It is loud. Like the one of 2026-10-26 07:43, which Meier called a true alarm: bearing is worn."
    )


def test_an_alarm_is_not_like_itself_when_it_is_raised_again() -> None:
    machine = Machine()
    machine.alarm(x=1.0)
    again = machine.see(1e-3, x=1.0)
    assert again is not None
    assert (again.after.occurrences, again.after.similar) == (2, [])
    assert [each.cleared_ns for each in machine.alarms.past.alarms] == [None]


def test_a_verdict_goes_before_later_words_without_one_and_a_later_verdict_before_it() -> None:
    machine = Machine(latch=True)
    machine.see(1e-3, x=1.0)
    machine.act(Action.ACK, "on my way")
    assert machine.alarms.past.alarms[0].comment == "on my way"
    machine.act(Action.JUDGE, "worn", "true")
    machine.see(5.0)
    machine.act(Action.RESET, "done")
    (known,) = machine.alarms.past.alarms
    assert (known.verdict, known.comment) == ("true", "worn")
    machine.act(Action.JUDGE, "it was the sensor", "false")
    (known,) = machine.alarms.past.alarms
    assert (known.verdict, known.comment) == ("false", "it was the sensor")


def test_what_nobody_was_told_of_is_not_remembered_and_words_at_its_return_are_not_about_it() -> None:
    machine = Machine()
    machine.act(Action.REMOVE, "repair")
    machine.see(1e-3, x=1.0)
    assert machine.alarms.past.alarms == []
    machine.act(Action.RETURN, "done")
    (known,) = machine.alarms.past.alarms
    assert (known.comment, known.by) == ("", "")


def test_an_alarm_that_needs_no_acknowledgement_is_judged_while_it_stands_and_once_it_is_over() -> None:
    machine = Machine(acknowledge=False)
    standing = machine.see(1e-3, x=1.0)
    assert standing is not None
    told = machine.act(Action.JUDGE, "worn", "true")
    assert told.event is not None
    assert (told.event.type, told.event.after.judged.verdict, told.event.after.state) == (
        "update",
        "true",
        State.ACKNOWLEDGED,
    )
    assert machine.counts == (1, 1, 0)
    ended = machine.see(5.0)
    assert ended is not None
    assert ended.type == "end"
    changed = machine.act(Action.JUDGE, "no, the sensor", "false", standing.after.id)
    assert changed.event is None
    (transition,) = changed.transitions
    assert (transition.alarm, transition.action, transition.verdict) == (standing.after.id, Action.JUDGE, "false")
    assert (transition.before, transition.after) == (State.NORMAL, State.NORMAL)
    assert machine.counts == (1, 0, 1)


def test_a_verdict_on_an_earlier_alarm_leaves_the_one_that_stands_alone() -> None:
    machine = Machine(acknowledge=False)
    first = machine.alarm(x=1.0)
    machine.see(1e-3, x=1.0)
    machine.act(Action.JUDGE, "worn", "true", first.after.id)
    assert machine.alarms.standing[0].judged is None
    assert machine.counts == (2, 1, 0)
    machine.act(Action.JUDGE, "noise", "false")  # the one that stands
    assert machine.counts == (2, 1, 1)
    assert [each.verdict for each in machine.alarms.past.alarms] == ["true", "false"]


def test_what_is_not_remembered_cannot_be_judged() -> None:
    machine = Machine()
    with pytest.raises(RefusedError, match="no such alarm is remembered"):
        machine.act(Action.JUDGE, "worn", "true")
    machine.alarm(x=1.0)
    with pytest.raises(RefusedError, match="no such alarm is remembered"):
        machine.act(Action.JUDGE, "worn", "true", "m-19700101T000000.000000000Z")
    assert machine.counts == (1, 0, 0)


def test_a_restart_forgets_nothing_and_a_snapshot_from_before_there_were_past_alarms_opens() -> None:
    machine = Machine()
    machine.alarm(x=1.0)
    machine.act(Action.ACK, "worn", "true")
    snapshot = machine.alarms.snapshot()
    again = Machine()
    assert again.alarms.restore(snapshot) == []
    assert again.alarms.past.alarms == machine.alarms.past.alarms
    old = json.loads(snapshot)
    del old["past"]
    assert Machine().alarms.restore(json.dumps(old).encode()) == []
    old["past"] = [{"id": 5}]
    broken = Machine()
    assert "earlier alarms cannot be read" in broken.alarms.restore(json.dumps(old).encode())[0]
    assert broken.alarms.past.alarms == []


def test_memory_is_bounded_and_a_point_that_chatters_takes_no_others_place() -> None:
    machine = Machine()
    point = machine.alarms.points[MODEL]
    quiet = machine.alarm(x=1.0)
    machine.act(Action.ACK, "ä" * 500)
    new = quiet.after
    for number in range(3 * MOST_REMEMBERED):
        alarm = msgspec.structs.replace(new, id=f"m.heat.high-{number}", point="heat.high")
        machine.alarms.past.take(Change(AlarmEvent(key="k", type="new", revision=1, before=None, after=alarm)), alarm)
    known = machine.alarms.past.alarms
    assert len(known) == MOST_REMEMBERED
    assert [each.id for each in known[:2]] == [new.id, f"m.heat.high-{2 * MOST_REMEMBERED + 1}"]
    assert len(known[0].comment) == LONGEST_COMMENT
    assert point.standing is None


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["alarm", "ack", "true", "false"]), st.floats(0.1, 1)), max_size=40))
def test_the_same_story_gives_the_same_likenesses_whenever_it_was_interrupted(story: list) -> None:
    def told(interrupted: bool) -> list[object]:
        machine, found = Machine(acknowledge=False), list[object]()
        for what, share in story:
            if what == "alarm":
                found.append(machine.alarm(x=share, y=1 - share).after)
            elif machine.alarms.past.alarms:
                act = Act(by="M", comment=what, time_ns=machine.at_s * S, verdict=None if what == "ack" else what)
                machine.alarms.act(MODEL, Action.JUDGE, act)
            if interrupted:
                snapshot, at_s = machine.alarms.snapshot(), machine.at_s
                machine = Machine(acknowledge=False)
                machine.at_s = at_s
                machine.alarms.restore(snapshot)
        return found

    assert told(True) == told(False)

"""What an alarm may do by itself: what asks for it, and every interlock that can hold it back."""

from __future__ import annotations

import pytest

from agent.decide.alarm import AlarmEvent, AlarmState
from agent.decide.isa18 import State
from agent.decide.responses import Interlocks, ResponseRules
from agent.types import NANOSECONDS
from tests.harness.alarms import alarm, response_rules

NOW_NS = 1_800_000_000 * NANOSECONDS
MINUTE_NS = 60 * NANOSECONDS


def rules(**changes: object) -> ResponseRules:
    return response_rules(**({"min_interval_ns": MINUTE_NS} | changes))


def told(after: AlarmState, before: AlarmState | None = None, kind: str | None = None) -> AlarmEvent:
    return AlarmEvent(
        key="k",
        type=kind or ("update" if before else "new"),
        revision=1,
        before=before,
        after=after,  # type: ignore[arg-type]
    )


RAISED = told(alarm())
CLEARED = told(alarm(cleared_ns=1, state=State.RETURNED), alarm())


def outcomes(interlocks: Interlocks, *, at_ns: int = 0, now_ns: int = NOW_NS) -> list[str | None]:
    """What the interlocks say to everything that is due."""
    said = []
    while (asked := interlocks.due(at_ns)) is not None:
        said.append(interlocks.forbids(asked, now_ns))
    return said


class TestAsking:
    @pytest.mark.parametrize(
        "event",
        [
            RAISED,
            told(alarm(occurrences=2), alarm(cleared_ns=1)),
            told(alarm(), alarm(state=State.SHELVED)),
        ],
        ids=["raised", "raised again", "out from under its shelving"],
    )
    def test_what_is_raised_asks(self, event: AlarmEvent) -> None:
        interlocks = Interlocks([rules()])
        interlocks.take(event, 0)
        assert outcomes(interlocks) == [None]

    @pytest.mark.parametrize(
        "event",
        [
            told(alarm(state=State.ACKNOWLEDGED), alarm()),
            told(alarm(state=State.SHELVED), alarm()),
            CLEARED,
            told(alarm(cleared_ns=1, ended_ns=2, state=State.NORMAL), alarm(cleared_ns=1), "end"),
            told(alarm(machine="fan")),
        ],
        ids=["acknowledged", "shelved", "cleared", "over", "another machine's"],
    )
    def test_nothing_else_does(self, event: AlarmEvent) -> None:
        interlocks = Interlocks([rules()])
        interlocks.take(event, 0)
        assert outcomes(interlocks) == []

    def test_what_is_cleared_asks_for_what_is_done_on_clearing_once(self) -> None:
        interlocks = Interlocks([rules(on="cleared")])
        for event in (RAISED, CLEARED, told(alarm(cleared_ns=1, ended_ns=2), alarm(cleared_ns=1), "end")):
            interlocks.take(event, 0)
        assert outcomes(interlocks) == [None]

    def test_an_alarm_that_clears_and_ends_at_once_has_cleared(self) -> None:
        interlocks = Interlocks([rules(on="cleared")])
        interlocks.take(told(alarm(cleared_ns=0, ended_ns=0, state=State.NORMAL), alarm(), "end"), 0)
        assert outcomes(interlocks) == [None]

    @pytest.mark.parametrize(
        ("point", "priority", "asks"),
        [
            ("heat.high", "high", True),
            ("heat.high_high", "critical", True),
            ("heat.high", "medium", False),
            ("model", "critical", False),
        ],
    )
    def test_points_and_priorities_choose(self, point, priority, asks) -> None:
        interlocks = Interlocks([rules(points=("heat.*",), least="high")])
        interlocks.take(told(alarm(point=point, priority=priority)), 0)
        assert len(outcomes(interlocks)) == asks


class TestInterlocks:
    def test_nothing_is_done_before_it_is_armed(self) -> None:
        interlocks = Interlocks([rules(armed=False)])
        interlocks.take(RAISED, 0)
        assert outcomes(interlocks) == ["disarmed"]

    def test_a_dry_run_passes_every_interlock_but_does_nothing(self) -> None:
        interlocks = Interlocks([rules(dry_run=True)])
        interlocks.take(RAISED, 0)
        interlocks.take(told(alarm(id="2")), 0)
        assert outcomes(interlocks) == ["dry_run", "too_soon"]

    def test_it_waits_to_be_confirmed(self) -> None:
        interlocks = Interlocks([rules(confirm_ns=10)])
        interlocks.take(RAISED, 5)
        assert interlocks.next_due_ns() == 15
        assert outcomes(interlocks, at_ns=14) == []
        assert outcomes(interlocks, at_ns=15) == [None]
        assert interlocks.next_due_ns() is None

    @pytest.mark.parametrize(
        "news",
        [
            CLEARED,
            told(alarm(cleared_ns=0, ended_ns=0, state=State.NORMAL), alarm(), "end"),
            told(alarm(state=State.SHELVED), alarm()),
            told(alarm(state=State.OUT_OF_SERVICE), alarm()),
            told(alarm(data="unknown"), alarm()),
        ],
        ids=["cleared", "over", "shelved", "out of service", "not seen any more"],
    )
    def test_what_no_longer_stands_in_the_open_is_not_confirmed(self, news: AlarmEvent) -> None:
        interlocks = Interlocks([rules(confirm_ns=10)])
        interlocks.take(RAISED, 0)
        interlocks.take(news, 5)
        assert outcomes(interlocks, at_ns=10) == ["unconfirmed"]

    def test_an_alarm_that_went_and_came_again_is_confirmed_anew(self) -> None:
        interlocks = Interlocks([rules(confirm_ns=10)])
        interlocks.take(RAISED, 0)
        interlocks.take(CLEARED, 3)
        interlocks.take(told(alarm(occurrences=2), CLEARED.after), 6)
        assert outcomes(interlocks, at_ns=10) == ["unconfirmed"]
        assert outcomes(interlocks, at_ns=16) == [None]

    def test_an_acknowledgement_does_not_hold_it_back(self) -> None:
        interlocks = Interlocks([rules(confirm_ns=10)])
        interlocks.take(RAISED, 0)
        interlocks.take(told(alarm(state=State.ACKNOWLEDGED), alarm()), 5)
        assert outcomes(interlocks, at_ns=10) == [None]

    def test_clearing_is_not_confirmed_where_it_is_raised_again(self) -> None:
        interlocks = Interlocks([rules(on="cleared", confirm_ns=10)])
        for event in (RAISED, CLEARED, told(alarm(occurrences=2), CLEARED.after)):
            interlocks.take(event, 0)
        assert outcomes(interlocks, at_ns=10) == ["unconfirmed"]

    def test_it_is_done_at_most_once_in_its_interval(self) -> None:
        interlocks = Interlocks([rules()])
        for now_ns, expected in (
            (0, None),
            (MINUTE_NS - 1, "too_soon"),
            (MINUTE_NS, None),
            (MINUTE_NS + 1, "too_soon"),
        ):
            interlocks.take(RAISED, 0)
            assert outcomes(interlocks, now_ns=NOW_NS + now_ns) == [expected]

    def test_what_was_held_back_does_not_begin_an_interval(self) -> None:
        interlocks = Interlocks([rules(confirm_ns=10)])
        interlocks.take(RAISED, 0)
        interlocks.take(CLEARED, 1)
        interlocks.take(told(alarm(id="2")), 1)
        assert outcomes(interlocks, at_ns=11) == ["unconfirmed", None]

    def test_a_clock_set_back_holds_it_back_for_one_interval_at_most(self) -> None:
        interlocks = Interlocks([rules()])
        hour_back_ns = NOW_NS - 60 * MINUTE_NS
        for now_ns, expected in ((NOW_NS, None), (hour_back_ns, "too_soon"), (hour_back_ns + MINUTE_NS, None)):
            interlocks.take(RAISED, 0)
            assert outcomes(interlocks, now_ns=now_ns) == [expected]

    def test_each_response_has_its_own_interval(self) -> None:
        interlocks = Interlocks([rules(), rules(name="call")])
        interlocks.take(RAISED, 0)
        assert outcomes(interlocks) == [None, None]

    def test_too_many_that_wait_are_dropped_and_counted(self) -> None:
        interlocks = Interlocks([rules(confirm_ns=10)])
        for number in range(150):
            interlocks.take(told(alarm(id=str(number))), 0)
        assert interlocks.overflows == 50
        assert len(outcomes(interlocks, at_ns=10)) == 100


class TestMemory:
    def test_the_interval_goes_on_behind_a_restart(self) -> None:
        before = Interlocks([rules()])
        before.take(RAISED, 0)
        assert outcomes(before) == [None]
        after = Interlocks([rules()])
        after.restore(before.snapshot())
        after.take(RAISED, 0)
        assert outcomes(after, now_ns=NOW_NS + MINUTE_NS - 1) == ["too_soon"]

    @pytest.mark.parametrize("snapshot", [b"", b"[]", b'{"pump.stop": "now"}', b"\xff"])
    def test_a_damaged_memory_is_refused_and_changes_nothing(self, snapshot: bytes) -> None:
        interlocks = Interlocks([rules()])
        interlocks.take(RAISED, 0)
        assert outcomes(interlocks) == [None]
        with pytest.raises(ValueError, match="cannot be read"):
            interlocks.restore(snapshot)
        interlocks.take(RAISED, 0)
        assert outcomes(interlocks) == ["too_soon"]

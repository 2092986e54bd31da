"""Several overrides of one alarm at once: each ends by itself, and a shelving is never forgotten under another."""

from __future__ import annotations

from agent.decide.alarm import Act
from agent.decide.isa18 import Action, State
from agent.decide.point import AlarmPoint
from agent.types import NANOSECONDS
from tests.harness.alarms import point_rules

S = NANOSECONDS
RULES = point_rules(S)


def act(comment: str, until_ns: int | None = None) -> Act:
    return Act(by="Meier", comment=comment, time_ns=10 * S, until_ns=until_ns)


def test_a_shelving_ends_at_its_time_though_the_alarm_was_taken_out_of_service_meanwhile() -> None:
    point = AlarmPoint(RULES)
    point.act(Action.SHELVE, act("known", 20 * S))
    point.act(Action.REMOVE, act("repair"))
    assert point.override == act("repair")
    assert point.expire(19 * S).transitions == ()
    assert point.expire(20 * S).transitions[0].action is Action.UNSHELVE
    assert (point.status.state, point.override) == (State.OUT_OF_SERVICE, act("repair"))
    point.act(Action.RETURN, act("done"))
    assert (point.status.state, point.override) == (State.NORMAL, None)


def test_what_is_returned_to_service_while_it_is_shelved_shows_the_shelving_again() -> None:
    point = AlarmPoint(RULES)
    point.act(Action.SHELVE, act("known", 20 * S))
    point.act(Action.REMOVE, act("repair"))
    point.act(Action.RETURN, act("done"))
    assert (point.status.state, point.override) == (State.SHELVED, act("known", 20 * S))
    revived = AlarmPoint(RULES)
    revived.restore(point.snapshot())
    assert revived.expire(20 * S).transitions[0].action is Action.UNSHELVE

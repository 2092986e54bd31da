"""The state model against the standard's own table, state by state, and through any sequence of actions with overrides on top."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.decide.isa18 import Action, Behaviour, RefusedError, State, Status, step

N, U, A, R = State.NORMAL, State.UNACKNOWLEDGED, State.ACKNOWLEDGED, State.RETURNED
LU, LA = State.LATCHED_UNACKNOWLEDGED, State.LATCHED_ACKNOWLEDGED
RAISE, CLEAR, ACK, RESET = Action.RAISE, Action.CLEAR, Action.ACK, Action.RESET

# Read off the state transition diagram (ISA-18.2-2016, figure 3): (latching, must be acknowledged) -> from -> action -> to.
TABLES = {
    (False, True): {
        N: {RAISE: U},
        U: {ACK: A, CLEAR: R},
        A: {CLEAR: N},
        R: {ACK: N, RAISE: U},
    },
    (True, True): {
        N: {RAISE: U},
        U: {ACK: A, CLEAR: LU},
        A: {CLEAR: LA},
        LU: {ACK: LA, RAISE: U},
        LA: {RESET: N, RAISE: U},
    },
    (False, False): {N: {RAISE: A}, A: {CLEAR: N}},
    (True, False): {N: {RAISE: A}, A: {CLEAR: LA}, LA: {RESET: N, RAISE: A}},
}
OVERRIDES = {
    State.OUT_OF_SERVICE: (Action.REMOVE, Action.RETURN),
    State.SUPPRESSED: (Action.SUPPRESS, Action.UNSUPPRESS),
    State.SHELVED: (Action.SHELVE, Action.UNSHELVE),
}
TABLE_CASES = [
    (design, state, action, table[state].get(action))
    for design, table in TABLES.items()
    for state in table
    for action in (RAISE, CLEAR, ACK, RESET)
]


def reach(state: State, behaviour: Behaviour) -> Status:
    """A status in `state`, reached by actions alone."""
    table = TABLES[behaviour.latch, behaviour.acknowledge]
    ways: dict[State, Status] = {State.NORMAL: Status()}
    while state not in ways:
        for known, status in list(ways.items()):
            for action, after in table[known].items():
                ways.setdefault(after, step(status, action, behaviour))
    return ways[state]


@pytest.mark.parametrize(("design", "state", "action", "after"), TABLE_CASES)
def test_every_cell_of_the_table(design: tuple[bool, bool], state: State, action: Action, after: State | None) -> None:
    behaviour = Behaviour(latch=design[0], acknowledge=design[1])
    status = reach(state, behaviour)
    if after is None:
        with pytest.raises(RefusedError):
            step(status, action, behaviour)
    else:
        assert step(status, action, behaviour).state is after


LATCHING = Behaviour(latch=True)


def refusal(status: Status, action: Action) -> str:
    with pytest.raises(RefusedError) as refused:
        step(status, action, LATCHING)
    return str(refused.value)


@pytest.mark.parametrize(
    ("state", "action", "why"),
    [
        (U, RAISE, "the alarm is active already"),
        (N, CLEAR, "the alarm is not active"),
        (N, ACK, "there is nothing to acknowledge"),
        (N, RESET, "the alarm is not latched"),
        (U, RESET, "the machine still deviates: an alarm can be reset once that is over"),
        (LU, RESET, "acknowledge the alarm first"),
    ],
)
def test_a_refusal_says_why(state: State, action: Action, why: str) -> None:
    assert refusal(reach(state, LATCHING), action) == why


@pytest.mark.parametrize(
    ("override", "hidden", "already", "absent"),
    [
        (State.SHELVED, "shelved", "already shelved", "not shelved"),
        (State.SUPPRESSED, "suppressed by design", "already suppressed", "not suppressed"),
        (State.OUT_OF_SERVICE, "out of service", "already out of service", "not out of service"),
    ],
)
def test_a_refusal_says_what_hides_the_alarm(override: State, hidden: str, already: str, absent: str) -> None:
    hide, show = OVERRIDES[override]
    status = step(reach(U, LATCHING), hide, LATCHING)
    assert refusal(status, ACK) == refusal(status, RESET) == f"the alarm is {hidden}"
    assert refusal(status, hide) == f"the alarm is {already}"
    assert refusal(reach(U, LATCHING), show) == f"the alarm is {absent}"


@pytest.mark.parametrize(("hide", "show"), OVERRIDES.values())
def test_what_came_and_went_while_the_alarm_was_hidden_leaves_nothing_behind(hide: Action, show: Action) -> None:
    status = Status()
    for action in (hide, RAISE, CLEAR, show):
        status = step(status, action, LATCHING)
    assert status == Status()


def test_an_alarm_that_was_seen_acknowledged_and_reset_is_as_if_it_had_never_been() -> None:
    status = Status()
    for action in (RAISE, CLEAR, ACK, RESET):
        status = step(status, action, LATCHING)
    assert status == Status()


@pytest.mark.parametrize("latch", [True, False])
@pytest.mark.parametrize("state", list(TABLES[True, True]))
def test_to_judge_an_alarm_changes_no_state_hidden_or_not(latch: bool, state: State) -> None:
    behaviour = Behaviour(latch=latch, acknowledge=True)
    for hiding in (None, *(hide for hide, _ in OVERRIDES.values())):
        if state in TABLES[latch, True]:
            status = reach(state, behaviour)
            status = status if hiding is None else step(status, hiding, behaviour)
            assert step(status, Action.JUDGE, behaviour) == status


class AlarmModel(RuleBasedStateMachine):
    """The table, a set of overrides, and whether the process deviates, beside the code."""

    @initialize(latch=st.booleans(), acknowledge=st.booleans())
    def design(self, latch: bool, acknowledge: bool) -> None:
        self.behaviour = Behaviour(latch=latch, acknowledge=acknowledge)
        self.table = TABLES[latch, acknowledge]
        self.visible = State.NORMAL
        self.overrides: set[State] = set()
        self.active = False
        self.status = Status()

    @rule(action=st.sampled_from([RAISE, CLEAR, ACK, RESET]))
    def act(self, action: Action) -> None:
        if self.overrides:
            allowed = (action is RAISE and not self.active) or (action is CLEAR and self.active)
        else:
            allowed = action in self.table[self.visible]
        self.take(action, allowed)
        if allowed and not self.overrides:
            self.visible = self.table[self.visible][action]
        if allowed and action in {RAISE, CLEAR}:
            self.active = action is RAISE

    @rule(override=st.sampled_from(list(OVERRIDES)))
    def hide(self, override: State) -> None:
        allowed = override not in self.overrides
        self.take(OVERRIDES[override][0], allowed)
        self.overrides.add(override)

    @rule(override=st.sampled_from(list(OVERRIDES)))
    def show(self, override: State) -> None:
        allowed = override in self.overrides
        self.take(OVERRIDES[override][1], allowed)
        self.overrides.discard(override)
        if allowed and not self.overrides:
            self.visible = self.table[N][RAISE] if self.active else N

    def take(self, action: Action, allowed: bool) -> None:
        if allowed:
            self.status = step(self.status, action, self.behaviour)
            return
        with pytest.raises(RefusedError):
            step(self.status, action, self.behaviour)

    @invariant()
    def the_states_agree(self) -> None:
        shown = next((override for override in OVERRIDES if override in self.overrides), self.visible)
        assert self.status.state is shown
        assert self.status.active is self.active


TestAlarmModel = AlarmModel.TestCase
TestAlarmModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)

"""Rules in the agent's file: what is checked, where it says so, and what the points of a machine then do with windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.alarm_points import alarms_of
from agent.config.check import check
from agent.decide.explanation import Explainer, unexplained
from agent.decide.isa18 import State
from agent.decide.lasting import Likelihood
from agent.errors import ConfigError
from agent.types import TimeQuality, Verdict, Window
from tests.harness.agent_folder import AgentFolder

SECOND = 1_000_000_000
EXPLAINER = Explainer(["accel.x", "accel.y", "drive.current"], ["[g]", "[g]", "A"], [1.0] * 3, None, 100.0)
RULE = """
[[machine.rule]]
name = "current"
of = "[drive.current] * 2"
unit = "A"
high = 10
high_high = 20
deadband = 1
suppress_when = "max(abs([accel.x])) < 0.5"
guidance = "look for a blocked impeller"
"""


@pytest.fixture
def agent(tmp_path: Path) -> AgentFolder:
    folder = AgentFolder(tmp_path)
    folder.text += RULE
    folder.write()
    return folder


def refused(agent: AgentFolder, old: str, new: str) -> str:
    agent.replace(old, new)
    with pytest.raises(ConfigError) as caught:
        check(agent.config)
    (problem,) = caught.value.problems
    return str(problem).replace(f"{agent.folder}/", "")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("[drive.current] * 2", "[drive.curent] * 2", "rule[0].of: there is no channel 'drive.curent' in this machine"),
        ("[drive.current] * 2", "print([drive.current])", "rule[0].of: there is no function 'print'"),
        ("high = 10\nhigh_high = 20\n", "", "rule[0]: the rule 'current' has no limit"),
        ("high = 10", "high = 30", "the limits of 'current' are out of order"),
        ("deadband = 1", "deadband = -1", "rule[0].deadband: -1.0 is below 0"),
        ('name = "current"', 'name = "cur/rent"', "rule[0].name: 'cur/rent' cannot stand in a topic"),
        ("deadband = 1", "count = [4, 3]", "rule[0].count: [4, 3] is no m of n windows"),
        ('< 0.5"', '<"', "rule[0].suppress_when: 'max(abs([accel.x])) <' is no expression"),
        ("deadband = 1", "dead_band = 1", "unknown key 'dead_band' (did you mean 'deadband'?)"),
    ],
)
def test_a_mistake_in_a_rule_is_named_with_its_place(agent: AgentFolder, old: str, new: str, complaint: str) -> None:
    found = refused(agent, old, new)
    assert found.startswith("agent.toml:")
    assert complaint in found


def windows(current: list[float], vibration: float = 1.0) -> list[Verdict]:
    """One window of 3 channels after another; the model finds nothing in them."""
    seen = []
    for index, value in enumerate(current):
        values = np.full((3, 8), vibration, np.float32)
        values[2] = value
        window = Window("pump-1", index * SECOND, (index + 1) * SECOND, values, None, TimeQuality.DEVICE)
        seen.append(Verdict(window, 0.1, np.zeros(3, np.float32), None))
    return seen


def test_limits_raise_and_clear_alarms_of_their_own_in_the_same_life_cycle(agent: AgentFolder) -> None:
    machine = check(agent.config).machines["pump-1"]
    alarms = alarms_of(machine, EXPLAINER)
    changes = [
        change
        for verdict in windows([1.0, 6.0, 11.0, 4.6, 4.4])
        for change in alarms.judge(verdict, Likelihood(1.0, 0.0), unexplained)
    ]
    story = [(each.event.after.point, each.event.type, each.event.after.state) for each in changes]
    assert story == [
        ("current.high", "new", State.UNACKNOWLEDGED),
        ("current.high_high", "new", State.UNACKNOWLEDGED),
        ("current.high_high", "update", State.RETURNED),
        ("current.high", "update", State.RETURNED),
    ]
    first, second = alarms.standing
    assert (first.priority, second.priority) == ("medium", "high")
    assert (first.peak.value, first.peak.limit, first.peak.unit) == (22.0, 10.0, "A")
    assert first.guidance == "look for a blocked impeller"
    assert [each.channel for each in first.channels] == ["drive.current"]
    assert first.sentence == "[drive.current] * 2 is above 10 A."


def test_a_limit_means_nothing_while_its_condition_by_design_holds(agent: AgentFolder) -> None:
    machine = check(agent.config).machines["pump-1"]
    alarms = alarms_of(machine, EXPLAINER)
    for verdict in windows([30.0], vibration=0.1):
        changes = alarms.judge(verdict, Likelihood(1.0, 0.0), unexplained)
        assert [change.event for change in changes] == [None] * 4
    assert {each.state for each in alarms.hidden} == {State.SUPPRESSED}
    assert {each.override.comment for each in alarms.hidden} == {"max(abs([accel.x])) < 0.5"}
    (running,) = windows([30.0], vibration=1.0)
    told = [change.event.type for change in alarms.judge(running, Likelihood(1.0, 0.0), unexplained) if change.event]
    assert told == ["new", "new"]


def test_m_of_n_windows_must_be_beyond_the_limit(agent: AgentFolder) -> None:
    agent.replace("high_high = 20", "count = [3, 5]")
    machine = check(agent.config).machines["pump-1"]
    alarms = alarms_of(machine, EXPLAINER)
    raised = [
        verdict.window.end_ns // SECOND
        for verdict in windows([9.0, 1.0, 1.0, 9.0, 1.0, 9.0, 9.0])
        for change in alarms.judge(verdict, Likelihood(1.0, 0.0), unexplained)
        if change.event is not None and change.event.type == "new"
    ]
    assert raised == [7]

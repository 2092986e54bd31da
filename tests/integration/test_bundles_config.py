"""[bundles] of the agent's file: what may be written, and what a mistake says."""

from __future__ import annotations

import pytest

from agent.config.bundles import is_stored
from agent.config.check import check
from agent.types import NANOSECONDS
from tests.harness.agent_folder import AgentFolder


@pytest.mark.parametrize(
    ("bundle", "stored"),
    [("pump", True), ("pump-1.0", True), ("pump.stethos", False), ("models/pump", False), ("/x/pump.stethos", False)],
)
def test_a_name_is_of_the_store_and_a_path_is_that_file(bundle: str, stored: bool) -> None:
    assert is_stored(bundle) is stored


def test_nothing_written_is_the_defaults(agent: AgentFolder) -> None:
    bundles = check(agent.config).bundles
    assert (bundles.inbox, bundles.arrival, bundles.promotion) == (None, "activate", None)
    assert (bundles.probation.lasts_ns, bundles.probation.starts) == (3_600 * NANOSECONDS, 3)
    assert bundles.probation.latency_ms == 0, "it follows from the model"


def test_what_is_written_is_taken(agent: AgentFolder) -> None:
    agent.text += """
[bundles]
inbox = "inbox"
arrival = "shadow"
promote = { windows = 5, agreement = 0.9 }
probation = { lasts = "2h", latency = "20ms", alarms = 0 }
"""
    agent.write()
    bundles = check(agent.config).bundles
    assert (bundles.inbox, bundles.arrival) == (agent.folder / "inbox", "shadow")
    assert bundles.promotion is not None
    assert (bundles.promotion.windows, bundles.promotion.agreement, bundles.promotion.latency) == (5, 0.9, 2.0)
    assert (bundles.probation.latency_ms, bundles.probation.alarms) == (20.0, 0)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('inbox = ""', "bundles.inbox: the path is empty"),
        ('probation = { lasts = "0s" }', "bundles.probation.lasts: '0s' is outside of 1s to 30d"),
        ("probation = { starts = 0 }", "bundles.probation.starts: 0 is outside of 1 to 1e+07"),
        ("probation = { alarms = -1 }", "bundles.probation.alarms: -1 is outside of 0 to 1e+07"),
        ('probation = { latency = "0s" }', "bundles.probation.latency: '0s' is outside of 0.001ms to 10m"),
        ("promote = { agreement = 1.1 }", "bundles.promote.agreement: 1.1 is outside of 0 to 1"),
        ("promote = { correlation = nan }", "bundles.promote.correlation: nan is outside of -1 to 1"),
        ("promote = { windows = 0 }", "bundles.promote.windows: 0 is outside of 1 to 1e+07"),
        ('arival = "install"', "did you mean 'arrival'?"),
    ],
)
def test_a_mistake_is_named_at_its_line(agent: AgentFolder, line: str, says: str) -> None:
    agent.text += f"\n[bundles]\n{line}\n"
    agent.write()
    (problem,) = agent.problems()
    assert says in problem


def test_install_over_mqtt_cannot_be_allowed(agent: AgentFolder) -> None:
    agent.text += '\n[commands]\nmqtt = ["bundle.install"]\n'
    agent.write()
    (problem,) = agent.problems()
    assert "'bundle.install' is taken on the box alone (leave it out)" in problem

"""The one table of severities, and which row an alarm is on."""

from __future__ import annotations

import pytest

from agent.decide.severity import SEVERITY, severity
from tests.harness.alarms import alarm


def test_the_scales_agree_on_the_order_and_keep_their_ranges() -> None:
    rows = list(SEVERITY.values())
    assert [row.syslog for row in rows] == sorted(row.syslog for row in rows)
    assert [row.opcua for row in rows] == sorted((row.opcua for row in rows), reverse=True)
    assert all(0 <= row.syslog <= 7 and 1 <= row.opcua <= 1000 for row in rows)


def test_x733_and_syslog_go_together_as_rfc_5674_says() -> None:
    rfc_5674 = {"CRITICAL": 1, "MAJOR": 2, "MINOR": 3, "WARNING": 4, "INDETERMINATE": 5, "CLEARED": 5}
    assert {row.x733: row.syslog for row in SEVERITY.values()}.items() <= rfc_5674.items()


@pytest.mark.parametrize("priority", ["critical", "high", "medium", "low"])
def test_an_alarm_has_its_priority_until_the_machine_is_normal(priority) -> None:
    assert severity(alarm(priority=priority)) == SEVERITY[priority]
    assert severity(alarm(priority=priority, cleared_ns=0)) == SEVERITY["cleared"], "zero is a time"

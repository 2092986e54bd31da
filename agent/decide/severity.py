"""How urgent an alarm is on the scales that others use: one table from our priorities to theirs."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

import msgspec

from agent.decide.alarm import AlarmState, Priority

Perceived = Literal["CRITICAL", "MAJOR", "MINOR", "WARNING", "INDETERMINATE", "CLEARED"]
Interruption = Literal["critical", "time-sensitive", "active", "passive"]


class Severity(msgspec.Struct, frozen=True, kw_only=True):
    """One urgency on four scales.

    `syslog` is 0 (most urgent) to 7 (RFC 5424, 6.2.1), `opcua` 1 to 1000 (most urgent; OPC 10000-5, 6.4.2), `x733` the perceived severity of
    ITU-T X.733, 8.1.2.3, in ThingsBoard's spelling, `homeassistant` how far a notification of its app intrudes.
    """

    syslog: int
    opcua: int
    x733: Perceived
    homeassistant: Interruption


# x733 to syslog is RFC 5674, 2; the numbers of OPC UA lie within its ranges of high, medium and low urgency. INDETERMINATE is never said: an
# alarm has a priority always, and one whose data are unknown is no less urgent for that.
SEVERITY: MappingProxyType[Priority | Literal["cleared"], Severity] = MappingProxyType(
    {
        "critical": Severity(syslog=1, opcua=900, x733="CRITICAL", homeassistant="critical"),
        "high": Severity(syslog=2, opcua=700, x733="MAJOR", homeassistant="time-sensitive"),
        "medium": Severity(syslog=3, opcua=500, x733="MINOR", homeassistant="active"),
        "low": Severity(syslog=4, opcua=200, x733="WARNING", homeassistant="passive"),
        "cleared": Severity(syslog=5, opcua=1, x733="CLEARED", homeassistant="passive"),
    }
)


def severity(alarm: AlarmState) -> Severity:
    """That of the alarm's priority while the machine deviates, CLEARED once it does not, acknowledged or not."""
    return SEVERITY[alarm.priority if alarm.cleared_ns is None else "cleared"]

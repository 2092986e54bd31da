"""An alarm, and the rules by which one is raised or answered, to change fields of."""

from __future__ import annotations

import msgspec

from agent.decide.alarm import MODEL, AlarmState, Reading
from agent.decide.isa18 import State
from agent.decide.point import PointRules
from agent.decide.responses import ResponseRules


def alarm(**changes: object) -> AlarmState:
    reading = Reading(strangeness=1.0, score=3.0, exceedances_per_hour=1e-4, basis="window")
    state = AlarmState(
        id="pump-20260101T000000.000000000Z",
        machine="pump",
        point="model",
        priority="high",
        state=State.UNACKNOWLEDGED,
        raised_ns=10**18,
        updated_ns=10**18,
        cleared_ns=None,
        ended_ns=None,
        occurrences=1,
        reading=reading,
        peak=reading,
        data="good",
        channels=[],
        sentence="accel.x varies 4 times as much as usual.",
        explained_ns=10**18,
        window_start_ns=10**18 - 10**9,
        window_end_ns=10**18,
    )
    return msgspec.structs.replace(state, **changes)


def point_rules(hop_ns: int, **changes: object) -> PointRules:
    """Of a model's point, without any delay."""
    fields = {"machine": "m", "point": MODEL, "priority": "high", "on_delay_ns": 0, "off_delay_ns": 0, **changes}
    return PointRules(hop_ns=hop_ns, **fields)  # type: ignore[arg-type]


def response_rules(**changes: object) -> ResponseRules:
    """To whatever the pump raises, at once."""
    usual = ResponseRules(
        machine="pump",
        name="stop",
        on="raised",
        points=("*",),
        least="low",
        armed=True,
        dry_run=False,
        confirm_ns=0,
        min_interval_ns=1,
    )
    return msgspec.structs.replace(usual, **changes)

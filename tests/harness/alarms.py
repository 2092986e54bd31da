"""An alarm to change one field of."""

from __future__ import annotations

import msgspec

from agent.decide.alarm import AlarmState, Reading
from agent.decide.isa18 import State


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

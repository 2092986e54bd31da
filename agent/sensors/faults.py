"""The faults of sensors: what each is called, the NAMUR NE 107 state it sets, the flag its values bear, when it is believed."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from agent.types import Quality


class State(enum.StrEnum):
    """NE 107's status signals, best first; where several hold, the worst is shown."""

    OK = "ok"
    MAINTENANCE_REQUIRED = "maintenance_required"  # works, and will not for long
    OUT_OF_SPECIFICATION = "out_of_specification"  # works outside of what it was specified for
    CHECK_FUNCTION = "check_function"  # its output is not valid for now
    FAILURE = "failure"  # its output is not valid


SEVERITY = {state: severity for severity, state in enumerate(State)}


def worst(states: Iterable[State]) -> State:
    """The state that a summary of `states` shows; ok where there are none."""
    return max(states, key=SEVERITY.__getitem__, default=State.OK)


class Fault(enum.StrEnum):
    """Of a channel; the last two are the device's own."""

    OUT_OF_RANGE = "out_of_range"
    CLIPPED = "clipped"
    STUCK = "stuck"
    JUMPED = "jumped"
    QUIET = "quiet"
    COARSE = "coarse"
    DISAGREES = "disagrees"
    DROPPED_OUT = "dropped_out"
    BROKEN_FRAMES = "broken_frames"
    CLOCK_SLIP = "clock_slip"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a fault says, and what helps where the profile knows nothing better.

    It is believed once `count` bad values lie within `within` values of the channel. `flag` marks the values, and is GOOD where none came.
    """

    state: State
    what: str
    remedy: str
    flag: Quality = Quality.GOOD
    count: int = 1
    within: int = 1


_WIRING = "check the sensor, its wiring and its supply"
MEANING = {
    Fault.OUT_OF_RANGE: Meaning(
        State.OUT_OF_SPECIFICATION,
        "values lie outside of its range",
        "check the sensor's wiring, and whether its range suits the place",
        Quality.OUT_OF_RANGE,
        count=3,
        within=32,
    ),
    Fault.CLIPPED: Meaning(
        State.OUT_OF_SPECIFICATION,
        "values sit at the end of what it can show",
        "check its mounting and gain, or take a sensor of a wider range",
        Quality.CLIPPED,
        count=3,
        within=32,
    ),
    Fault.STUCK: Meaning(State.FAILURE, "its value does not change, though it must", _WIRING, Quality.STUCK),
    Fault.JUMPED: Meaning(
        State.MAINTENANCE_REQUIRED,
        "values jump faster than it can change, and back",
        "look for a loose contact, and for interference along the cable",
        Quality.JUMPED,
        count=3,
        within=1_024,
    ),
    Fault.QUIET: Meaning(State.FAILURE, "its noise is far below what its sensor has", _WIRING, Quality.DULL),
    Fault.COARSE: Meaning(
        State.OUT_OF_SPECIFICATION,
        "it has lost resolution",
        "check the converter's settings and the firmware's version",
        Quality.DULL,
    ),
    Fault.DISAGREES: Meaning(
        State.CHECK_FUNCTION,
        "it disagrees with the channels that measure the same",
        "compare each of them with a reference, and calibrate or replace the wrong one",
        Quality.DISAGREES,
    ),
    Fault.DROPPED_OUT: Meaning(State.FAILURE, "no value comes from it, though its device sends", _WIRING),
    Fault.BROKEN_FRAMES: Meaning(
        State.MAINTENANCE_REQUIRED,
        "many frames arrive broken",
        "check cable, shield, earth and baud rate",
    ),
    Fault.CLOCK_SLIP: Meaning(
        State.OUT_OF_SPECIFICATION,
        "its clock or sample counter slips",
        "check its supply for restarts, and the profile's rate_hz",
    ),
}

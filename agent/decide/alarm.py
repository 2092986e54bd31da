"""What an alarm is at one moment, and what consumers and auditors are told when that changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from agent.decide.contributions import Contribution
from agent.decide.explanation import Advice, Picture
from agent.decide.isa18 import Action, State
from agent.decide.likeness import Judgement, Similar
from agent.types import NANOSECONDS

Priority = Literal["critical", "high", "medium", "low"]
MODEL = "model"  # the point that the bundle's score raises; all others are rules
NOBODY = "stethos"  # who acts where no person does
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a point read in one window: of the model its score and how often an hour normal operation goes as far; of a rule
    its value and the limit that it is held against, both in `unit`.

    `strangeness` orders the readings of one point, higher is stranger; one more is news. `basis` says what the rate is of: this window
    alone, or what has been gathered over windows that are each less strange.
    """

    strangeness: float
    score: float | None = None
    exceedances_per_hour: float | None = None
    basis: Literal["window", "lasting"] | None = None
    value: float | None = None
    limit: float | None = None
    unit: str | None = None  # UCUM


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did to an alarm, and why they say they did it; `by` is "stethos" where nobody did."""

    by: str
    comment: str
    time_ns: int
    until_ns: int | None = None  # of a shelving
    verdict: Judgement | None = None  # of an acknowledgement, or of a judgement alone


class AlarmState(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm at one moment. Times are event times, ends of windows; those of acts are the host's.

    `reading` is of the last known window. `data` is unknown while windows cannot be judged: such an alarm stands, for nothing says that it is
    over. `cleared_ns` is when the machine was normal again, `ended_ns` when nothing was left to do about it either. `occurrences` counts how
    often it was raised before it ended. `channels`, `sentence`, `similar` and `actions` explain the window at `explained_ns`.
    """

    id: str
    machine: str
    point: str
    priority: Priority
    state: State
    raised_ns: int
    updated_ns: int
    cleared_ns: int | None
    ended_ns: int | None
    occurrences: int
    reading: Reading
    peak: Reading
    data: Literal["good", "unknown"]
    channels: list[Contribution]
    sentence: str
    explained_ns: int
    window_start_ns: int
    window_end_ns: int
    first_out: bool = False  # no other alarm of its group stood when it was raised
    budget_per_hour: float | None = None
    acknowledged: Act | None = None
    override: Act | None = None  # why it is shelved, suppressed or out of service
    guidance: str = ""  # what to do about it, as whoever set it up wrote it down; goes before `actions`
    actions: list[Advice] = []  # what the profiles say to do about the channels that lead
    similar: list[Similar] = []  # earlier alarms, the most similar first
    judged: Act | None = None  # who said last whether it was a true alarm


class AlarmEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What a consumer is told; `before` is what it was last told of this alarm. The same event always has the same key."""

    key: str
    type: Literal["new", "update", "end"]
    revision: int
    before: AlarmState | None
    after: AlarmState
    picture: Picture | None = None  # of the window that raised it, in the first event


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One step through the life cycle, for the journal; `alarm` is the id of the alarm that stood, if any did."""

    machine: str
    point: str
    alarm: str | None
    action: Action
    before: State
    after: State
    time_ns: int
    by: str
    comment: str
    until_ns: int | None = None
    verdict: Judgement | None = None


class Change(msgspec.Struct, frozen=True):
    """What one step of a point brought about: at most one event to tell, and every transition to keep."""

    event: AlarmEvent | None = None
    transitions: tuple[Transition, ...] = ()


NOTHING = Change()


def alarm_id(machine: str, point: str, raised_ns: int) -> str:
    """MACHINE[.POINT]-TIME, the event time of raising in RFC 3339 basic form, to the nanosecond: the same in every replay."""
    seconds, fraction_ns = divmod(raised_ns, NANOSECONDS)
    name = machine if point == MODEL else f"{machine}.{point}"
    return f"{name}-{_EPOCH + timedelta(seconds=seconds):%Y%m%dT%H%M%S}.{fraction_ns:09d}Z"

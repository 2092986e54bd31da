"""The life cycle of one machine's alarm: raised, kept up to date without chatter, ended; what it says at each step."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from agent.decide.condition import Condition, Delays, Finding
from agent.decide.contributions import Contribution
from agent.types import NANOSECONDS, Verdict

_FIRST_UPDATE_NS = 60 * NANOSECONDS
_MOST_SPARSE_NS = 3_600 * NANOSECONDS
_WORSE = 0.1  # a peak rate this much lower is news
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class State(enum.StrEnum):
    """ISA-18.2 (IEC 62682) states that an alarm can be in without an operator's doing."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"


class AlarmRules(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator asked for: at most `budget_per_hour` false alarms, and how steady a deviation must be.

    An alarm is raised where the exceedance rate stays at or below the budget for `on_delay_ns`, and ends where it stays
    above `budget_per_hour * clear_factor` for `off_delay_ns`.
    """

    machine: str
    priority: Literal["critical", "high", "medium", "low"]
    budget_per_hour: float
    clear_factor: float
    on_delay_ns: int
    off_delay_ns: int


class AlarmState(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm at one moment. Times are event times, ends of windows; rates are exceedances an hour, lower is stranger.

    score, exceedances_per_hour, window_start_ns and window_end_ns are of the last known window. `data` is unknown while
    windows cannot be scored: such an alarm stands, for nothing says that it is over. `channels` explain the window at `explained_ns`.
    """

    id: str
    machine: str
    priority: Literal["critical", "high", "medium", "low"]
    state: State
    raised_ns: int
    updated_ns: int
    ended_ns: int | None
    score: float
    peak_score: float
    exceedances_per_hour: float
    peak_exceedances_per_hour: float
    budget_per_hour: float
    data: Literal["good", "unknown"]
    channels: list[Contribution]
    explained_ns: int
    window_start_ns: int
    window_end_ns: int


class AlarmEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What a consumer is told; `before` is what it was last told of this alarm. The same event always has the same key."""

    key: str
    type: Literal["new", "update", "end"]
    revision: int
    before: AlarmState | None
    after: AlarmState


class _Memory(msgspec.Struct, kw_only=True):
    """All that outlives a restart."""

    version: Literal[1] = 1
    machine: str
    condition: Condition
    standing: AlarmState | None = None
    told: AlarmState | None = None  # as in the last event
    revision: int = 0


class AlarmLifecycle:
    """One machine's alarm, stepped by its verdicts in order; the same verdicts give the same events.

    Updates tell of three things: the data became unknown or good again, the peak rate fell tenfold, another channel leads. They are
    at least 60 s of event time after the event before, then 2, 4, 8 minutes, at most an hour; only "unknown" is told at once.
    """

    def __init__(self, rules: AlarmRules, hop_ns: int) -> None:
        """`hop_ns` is the event time from one window to the next, which the delays need to tell a gap from the usual spacing."""
        self._rules = rules
        self._delays = Delays(on_ns=rules.on_delay_ns, off_ns=rules.off_delay_ns, hop_ns=hop_ns)
        self._clear_per_hour = rules.budget_per_hour * rules.clear_factor
        self._memory = _Memory(machine=rules.machine, condition=Condition())

    @property
    def standing(self) -> AlarmState | None:
        """The alarm that stands now, with the latest of it; None while there is none."""
        return self._memory.standing

    def step(
        self, verdict: Verdict, exceedances_per_hour: float, explain: Callable[[], list[Contribution]]
    ) -> AlarmEvent | None:
        """Take in the next verdict; `explain` is called only where an event may need it."""
        memory = self._memory
        if verdict.unknown is not None or not math.isfinite(verdict.score + exceedances_per_hour):
            return None if memory.standing is None else self._lose_sight(memory.standing, verdict)
        rate = float(exceedances_per_hour)
        changed = memory.condition.step(self._finding(rate), verdict.window.end_ns, self._delays)
        if memory.standing is None:
            return self._raise(verdict, rate, explain) if changed else None
        alarm = _follow(memory.standing, verdict, rate)
        if changed:
            alarm = msgspec.structs.replace(alarm, state=State.NORMAL, ended_ns=verdict.window.end_ns)
            return self._tell("end", alarm)
        return self._keep_up(alarm, explain)

    def snapshot(self) -> bytes:
        """Everything that must outlive a restart."""
        return msgspec.json.encode(self._memory)

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`; raises ValueError, and changes nothing, where it is damaged or another machine's."""
        try:
            memory = msgspec.json.decode(snapshot, type=_Memory)
        except msgspec.MsgspecError as error:
            raise ValueError(f"alarm state of machine '{self._rules.machine}' cannot be read: {error}") from error
        if memory.machine != self._rules.machine:
            raise ValueError(f"alarm state is of machine '{memory.machine}', not of '{self._rules.machine}'")
        if memory.condition.deviating != (memory.standing is not None):
            raise ValueError(
                f"alarm state of machine '{memory.machine}' contradicts itself: deviating without an alarm, or the reverse"
            )
        self._memory = memory

    def _finding(self, rate: float) -> Finding:
        if rate <= self._rules.budget_per_hour:
            return "deviating"
        return "normal" if rate > self._clear_per_hour else "between"

    def _raise(self, verdict: Verdict, rate: float, explain: Callable[[], list[Contribution]]) -> AlarmEvent:
        window, rules = verdict.window, self._rules
        self._memory.revision = 0
        self._memory.told = None
        alarm = AlarmState(
            id=alarm_id(rules.machine, window.end_ns),
            machine=rules.machine,
            priority=rules.priority,
            state=State.UNACKNOWLEDGED,
            raised_ns=window.end_ns,
            updated_ns=window.end_ns,
            ended_ns=None,
            score=float(verdict.score),
            peak_score=float(verdict.score),
            exceedances_per_hour=rate,
            peak_exceedances_per_hour=rate,
            budget_per_hour=rules.budget_per_hour,
            data="good",
            channels=explain(),
            explained_ns=window.end_ns,
            window_start_ns=window.start_ns,
            window_end_ns=window.end_ns,
        )
        return self._tell("new", alarm)

    def _lose_sight(self, alarm: AlarmState, verdict: Verdict) -> AlarmEvent | None:
        alarm = msgspec.structs.replace(alarm, data="unknown", updated_ns=verdict.window.end_ns)
        if self._memory.told is not None and self._memory.told.data == "good":
            return self._tell("update", alarm)
        self._memory.standing = alarm
        return None

    def _keep_up(self, alarm: AlarmState, explain: Callable[[], list[Contribution]]) -> AlarmEvent | None:
        """Tell what is news, once enough time has passed since the last event; look at the channels no more often than that."""
        memory, told = self._memory, self._memory.told
        memory.standing = alarm
        if told is None or not self._long_since(told.updated_ns, alarm):
            return None
        news = told.data != alarm.data or alarm.peak_exceedances_per_hour <= told.peak_exceedances_per_hour * _WORSE
        if not news and not self._long_since(alarm.explained_ns, alarm):
            return None
        memory.standing = alarm = msgspec.structs.replace(alarm, channels=explain(), explained_ns=alarm.updated_ns)
        return self._tell("update", alarm) if news or _leader(told) != _leader(alarm) else None

    def _long_since(self, then_ns: int, alarm: AlarmState) -> bool:
        wait_ns = min(_FIRST_UPDATE_NS << min(self._memory.revision - 1, 6), _MOST_SPARSE_NS)
        return abs(alarm.updated_ns - then_ns) >= wait_ns  # event time may run backwards

    def _tell(self, kind: Literal["new", "update", "end"], alarm: AlarmState) -> AlarmEvent:
        memory = self._memory
        memory.revision += 1
        before, memory.told = memory.told, alarm
        memory.standing = None if kind == "end" else alarm
        return AlarmEvent(
            key=f"{alarm.id}.{memory.revision}", type=kind, revision=memory.revision, before=before, after=alarm
        )


def alarm_id(machine: str, raised_ns: int) -> str:
    """MACHINE and the event time of raising in RFC 3339 basic form, to the nanosecond: the same in every replay."""
    seconds, fraction_ns = divmod(raised_ns, NANOSECONDS)
    return f"{machine}-{_EPOCH + timedelta(seconds=seconds):%Y%m%dT%H%M%S}.{fraction_ns:09d}Z"


def _follow(alarm: AlarmState, verdict: Verdict, rate: float) -> AlarmState:
    return msgspec.structs.replace(
        alarm,
        data="good",
        updated_ns=verdict.window.end_ns,
        score=float(verdict.score),
        peak_score=max(alarm.peak_score, float(verdict.score)),
        exceedances_per_hour=rate,
        peak_exceedances_per_hour=min(alarm.peak_exceedances_per_hour, rate),
        window_start_ns=verdict.window.start_ns,
        window_end_ns=verdict.window.end_ns,
    )


def _leader(alarm: AlarmState) -> str | None:
    return alarm.channels[0].channel if alarm.channels else None

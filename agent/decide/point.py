"""One alarm point of a machine, its model or a rule: raised and cleared by what it sees, kept by the state model, told without chatter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from agent.decide import isa18
from agent.decide.alarm import (
    NOBODY,
    NOTHING,
    Act,
    AlarmEvent,
    AlarmState,
    Change,
    Priority,
    Reading,
    Transition,
    alarm_id,
)
from agent.decide.annunciator import FLOOD, Annunciator
from agent.decide.condition import Condition, Delays, Finding
from agent.decide.explanation import Explanation, Picture, unexplained
from agent.decide.isa18 import Action, Behaviour, RefusedError, State, Status
from agent.snapshots import read_snapshot
from agent.types import NANOSECONDS

_FIRST_UPDATE_NS = 60 * NANOSECONDS
_MOST_SPARSE_NS = 3_600 * NANOSECONDS
# A time-limited shelving that nobody lifts must end within a shift or a day: what is shelved for ever is forgotten.
LONGEST_SHELVING_NS = 7 * 86_400 * NANOSECONDS

Explain = Callable[[], Explanation]


class PointRules(msgspec.Struct, frozen=True, kw_only=True):
    """How one point was designed. `hop_ns` is the event time from one window to the next; `count` is m of n windows; `guidance` is what to do."""

    machine: str
    point: str
    priority: Priority
    on_delay_ns: int
    off_delay_ns: int
    hop_ns: int
    count: tuple[int, int] = (1, 1)
    behaviour: Behaviour = Behaviour()
    budget_per_hour: float | None = None
    guidance: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a point makes of one window; `finding` and `reading` are None where the window cannot be judged."""

    start_ns: int
    end_ns: int
    finding: Finding | None
    reading: Reading | None


class _Memory(msgspec.Struct, kw_only=True):
    """All that outlives a restart."""

    version: Literal[2] = 2
    machine: str
    point: str
    condition: Condition
    status: Status = Status()
    overrides: dict[State, Act] = {}  # each ends on its own; the state says which one shows
    standing: AlarmState | None = None
    told: AlarmState | None = None  # as in the last event
    picture: Picture | None = None  # of the window that raised it, until it is told
    revision: int = 0


_HIDES = {Action.SHELVE: State.SHELVED, Action.SUPPRESS: State.SUPPRESSED, Action.REMOVE: State.OUT_OF_SERVICE}
_SHOWS = {Action.UNSHELVE: State.SHELVED, Action.UNSUPPRESS: State.SUPPRESSED, Action.RETURN: State.OUT_OF_SERVICE}


class AlarmPoint:
    """Stepped by what it sees, in order, and by operators' acts; the same steps give the same events.

    Updates tell of three things unasked: the data became unknown or good again, the peak grew stranger by one, another channel leads.
    They are at least 60 s of event time after the event before, then 2, 4, 8 minutes, at most an hour; "unknown" and every
    change of state are told at once.
    """

    def __init__(self, rules: PointRules) -> None:
        self.rules = rules
        self._delays = Delays(
            on_ns=rules.on_delay_ns, off_ns=rules.off_delay_ns, hop_ns=rules.hop_ns, count=rules.count
        )
        self._memory = _Memory(machine=rules.machine, point=rules.point, condition=Condition())
        self.annunciator: Annunciator | None = None  # None where the point is all alone

    @property
    def standing(self) -> AlarmState | None:
        """The alarm that stands now, with the latest of it; None while there is none."""
        return self._memory.standing

    @property
    def status(self) -> Status:
        """Where the point is in the state model."""
        return self._memory.status

    @property
    def override(self) -> Act | None:
        """Who hid the point, why and until when; None while it is in the open."""
        return self._memory.overrides.get(self._memory.status.state)

    @property
    def waits_for_flood(self) -> bool:
        """Whether its alarm is not announced because there were too many others."""
        override = self._memory.overrides.get(State.SUPPRESSED)
        return override is not None and override.comment == FLOOD

    def step(self, sight: Sight, explain: Explain) -> Change:
        """Take in the next window; `explain` is called only where an event may need it."""
        memory = self._memory
        if sight.finding is None or sight.reading is None:
            return NOTHING if memory.standing is None else self._lose_sight(memory.standing, sight)
        changed = memory.condition.step(sight.finding, sight.end_ns, self._delays)
        if memory.standing is not None:
            memory.standing = _follow(memory.standing, sight, sight.reading)
        if changed:
            act = Act(by=NOBODY, comment="", time_ns=sight.end_ns)
            if memory.condition.deviating:
                return self._raise(act, sight, explain)
            return self._move(Action.CLEAR, act, sight, explain)
        if memory.standing is None or memory.status.overridden:
            return NOTHING
        event = self._keep_up(memory.standing, explain)
        return NOTHING if event is None else Change(event)

    def act(self, action: Action, act: Act) -> Change:
        """An operator's act, or a design condition's; raises isa18.RefusedError, and changes nothing, where it makes no sense."""
        if action is Action.SHELVE:
            _check_shelving(act)
        return self._move(action, act, None, unexplained)

    def expire(self, now_ns: int) -> Change:
        """End a shelving whose time is over; `now_ns` is the host's time."""
        shelving = self._memory.overrides.get(State.SHELVED)
        if shelving is None or shelving.until_ns is None or now_ns < shelving.until_ns:
            return NOTHING
        return self.act(Action.UNSHELVE, Act(by=NOBODY, comment="its time is over", time_ns=now_ns))

    def snapshot(self) -> bytes:
        """Everything that must outlive a restart."""
        return msgspec.json.encode(self._memory)

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`; raises ValueError, and changes nothing, where it is damaged or another point's."""
        rules = self.rules
        memory = read_snapshot(snapshot, _Memory, f"alarm state of '{rules.machine}/{rules.point}'")
        if (memory.machine, memory.point) != (rules.machine, rules.point):
            raise ValueError(
                f"alarm state is of '{memory.machine}/{memory.point}', not of '{rules.machine}/{rules.point}'"
            )
        visible = memory.status.state not in {State.NORMAL, State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE}
        if memory.condition.deviating != memory.status.active or (visible and memory.standing is None):
            raise ValueError(f"alarm state of '{memory.machine}/{memory.point}' contradicts itself")
        self._memory = memory

    def _raise(self, act: Act, sight: Sight, explain: Explain) -> Change:
        """Raise the alarm, unannounced where it must wait for a flood to pass."""
        memory, rules = self._memory, self.rules
        if memory.status.overridden or self.annunciator is None:
            return self._move(Action.RAISE, act, sight, explain)
        stands = memory.standing is not None
        if not self.annunciator.raising(rules.machine, rules.point, rules.priority, act.time_ns, stands=stands):
            return self._move(Action.RAISE, act, sight, explain)
        waits = self._move(Action.SUPPRESS, msgspec.structs.replace(act, comment=FLOOD), sight, explain)
        raised = self._move(Action.RAISE, act, sight, explain)
        return Change(None, waits.transitions + raised.transitions)

    def _move(self, action: Action, act: Act, sight: Sight | None, explain: Explain) -> Change:
        """One step through the state model, and what it means for the alarm that stands."""
        memory = self._memory
        before = memory.status
        memory.status = isa18.step(before, action, self.rules.behaviour)
        if action in _HIDES:
            memory.overrides = {**memory.overrides, _HIDES[action]: act}
        elif action in _SHOWS:
            memory.overrides = {state: kept for state, kept in memory.overrides.items() if state is not _SHOWS[action]}
        event = self._tell_of(action, act, sight, explain)
        alarm = event.after.id if event is not None else None if memory.standing is None else memory.standing.id
        transition = Transition(
            machine=self.rules.machine,
            point=self.rules.point,
            alarm=alarm,
            action=action,
            before=before.state,
            after=memory.status.state,
            time_ns=act.time_ns,
            by=act.by,
            comment=act.comment,
            until_ns=act.until_ns,
            verdict=act.verdict,
        )
        return Change(event, (transition,))

    def _tell_of(self, action: Action, act: Act, sight: Sight | None, explain: Explain) -> AlarmEvent | None:
        """The alarm after `action`, told unless it is hidden; one that was never told of is raised, or vanishes, when it comes to light."""
        memory, overridden = self._memory, self._memory.status.overridden
        alarm = memory.standing
        if alarm is None:
            if action is not Action.RAISE or sight is None or sight.reading is None:
                return None
            alarm = self._raised(sight, sight.reading, explain)
        else:
            alarm = self._moved(alarm, action, act, explain)
        if overridden and (memory.told is None or action in {Action.RAISE, Action.CLEAR}):
            memory.standing = alarm
            return None
        if memory.status.state is not State.NORMAL:
            return self._tell("new" if memory.told is None else "update", alarm)
        if memory.told is None:
            memory.standing = None
            return None
        return self._tell("end", msgspec.structs.replace(alarm, ended_ns=act.time_ns))

    def _moved(self, alarm: AlarmState, action: Action, act: Act, explain: Explain) -> AlarmState:
        memory = self._memory
        moved = msgspec.structs.replace(alarm, state=memory.status.state, override=self.override)
        if act.verdict is not None:
            moved = msgspec.structs.replace(moved, judged=act)
        if action is Action.ACK:
            return msgspec.structs.replace(moved, acknowledged=act)
        if action is Action.CLEAR:
            return msgspec.structs.replace(moved, cleared_ns=act.time_ns)
        if action is Action.RAISE:
            again = msgspec.structs.replace(
                moved, cleared_ns=None, acknowledged=None, occurrences=alarm.occurrences + 1
            )
            return self._explained(again, explain)
        return moved

    def _raised(self, sight: Sight, reading: Reading, explain: Explain) -> AlarmState:
        rules, memory = self.rules, self._memory
        memory.revision = 0
        memory.told = None
        alarm = AlarmState(
            id=alarm_id(rules.machine, rules.point, sight.end_ns),
            machine=rules.machine,
            point=rules.point,
            priority=rules.priority,
            state=memory.status.state,
            raised_ns=sight.end_ns,
            updated_ns=sight.end_ns,
            cleared_ns=None,
            ended_ns=None,
            occurrences=1,
            reading=reading,
            peak=reading,
            data="good",
            channels=[],
            sentence="",
            explained_ns=sight.end_ns,
            window_start_ns=sight.start_ns,
            window_end_ns=sight.end_ns,
            budget_per_hour=rules.budget_per_hour,
            override=self.override,
            first_out=self._is_first_out(),
            guidance=rules.guidance,
        )
        return self._explained(alarm, explain)

    def _is_first_out(self) -> bool:
        if self.annunciator is None or self._memory.status.overridden:
            return False
        return self.annunciator.is_first_out(self.rules.machine)

    def _explained(self, alarm: AlarmState, explain: Explain) -> AlarmState:
        """The alarm with the channels of its latest window; the picture waits for the first event."""
        explanation = explain()
        if self._memory.told is None:
            self._memory.picture = explanation.picture
        return msgspec.structs.replace(
            alarm,
            channels=explanation.channels,
            sentence=explanation.sentence,
            actions=explanation.actions,
            similar=explanation.similar,
            explained_ns=alarm.updated_ns,
        )

    def _lose_sight(self, alarm: AlarmState, sight: Sight) -> Change:
        alarm = msgspec.structs.replace(alarm, data="unknown", updated_ns=sight.end_ns)
        told = self._memory.told
        if told is not None and told.data == "good" and not self._memory.status.overridden:
            return Change(self._tell("update", alarm))
        self._memory.standing = alarm
        return NOTHING

    def _keep_up(self, alarm: AlarmState, explain: Explain) -> AlarmEvent | None:
        """Tell what is news, once enough time has passed since the last event; look at the channels no more often than that."""
        told = self._memory.told
        if told is None or not self._long_since(told.updated_ns, alarm):
            return None
        news = told.data != alarm.data or alarm.peak.strangeness >= told.peak.strangeness + 1
        if not news and not (alarm.cleared_ns is None and self._long_since(alarm.explained_ns, alarm)):
            return None
        self._memory.standing = alarm = self._explained(alarm, explain)
        return self._tell("update", alarm) if news or _leader(told) != _leader(alarm) else None

    def _long_since(self, then_ns: int, alarm: AlarmState) -> bool:
        wait_ns = min(_FIRST_UPDATE_NS << min(self._memory.revision - 1, 6), _MOST_SPARSE_NS)
        return abs(alarm.updated_ns - then_ns) >= wait_ns  # event time may run backwards

    def _tell(self, kind: Literal["new", "update", "end"], alarm: AlarmState) -> AlarmEvent:
        memory = self._memory
        memory.revision += 1
        before, memory.told = memory.told, alarm
        picture, memory.picture = memory.picture, None
        memory.standing = None if kind == "end" else alarm
        key = f"{alarm.id}.{memory.revision}"
        return AlarmEvent(key=key, type=kind, revision=memory.revision, before=before, after=alarm, picture=picture)


def _check_shelving(act: Act) -> None:
    if act.until_ns is None:
        raise RefusedError("shelving needs a time limit")
    if not act.time_ns < act.until_ns <= act.time_ns + LONGEST_SHELVING_NS:
        raise RefusedError("an alarm may be shelved for seven days at most")


def _follow(alarm: AlarmState, sight: Sight, reading: Reading) -> AlarmState:
    return msgspec.structs.replace(
        alarm,
        data="good",
        updated_ns=sight.end_ns,
        reading=reading,
        peak=max(alarm.peak, reading, key=lambda each: each.strangeness),
        window_start_ns=sight.start_ns,
        window_end_ns=sight.end_ns,
    )


def _leader(alarm: AlarmState) -> str | None:
    return alarm.channels[0].channel if alarm.channels else None

"""Whether an alarm may do something by itself: which event asks for it, and the interlocks between that and the doing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

import msgspec

from agent.decide.alarm import AlarmEvent, AlarmState, Priority
from agent.decide.isa18 import State
from agent.snapshots import read_snapshot

Trigger = Literal["raised", "cleared"]
# Why nothing was done, or what became of the doing.
Outcome = Literal["disarmed", "unconfirmed", "too_soon", "dry_run", "done", "failed", "timed_out"]
_MOST_WAITING = 100
_PRIORITIES: tuple[Priority, ...] = get_args(Priority)  # the most urgent first
_HIDDEN = frozenset({State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE})


class ResponseRules(msgspec.Struct, frozen=True, kw_only=True):
    """One response of a machine. `points` are names of alarm points, `*` standing for anything; `least` is the lowest priority that asks for it.

    It is done `confirm_ns` after the event that asks for it, if that still holds then, at most once in `min_interval_ns`, and only where it is `armed`.
    """

    machine: str
    name: str
    on: Trigger
    points: tuple[str, ...]
    least: Priority
    armed: bool
    dry_run: bool
    confirm_ns: int
    min_interval_ns: int

    @property
    def id(self) -> str:
        """MACHINE.NAME."""
        return f"{self.machine}.{self.name}"


@dataclass(frozen=True, slots=True)
class Asked:
    """A response that an alarm asks for, due at `due_ns` of the monotonic clock."""

    rules: ResponseRules
    alarm: AlarmState
    due_ns: int


class Interlocks:
    """Told every event of alarms, in order; says what is due. Not for several threads.

    Times to confirm run on the monotonic clock. The time of the latest doing is kept on the host's clock, since it outlives a restart.
    """

    def __init__(self, rules: Sequence[ResponseRules]) -> None:
        self._rules = rules
        self._waiting: list[Asked] = []
        self._latest: dict[str, AlarmState] = {}  # alarms that stand, by id
        self._done_ns: dict[str, int] = {}  # by response, the host's time
        self.overflows = 0  # askings that were dropped because too many waited

    def take(self, event: AlarmEvent, monotonic_ns: int) -> None:
        """An alarm is new, changed or over."""
        if event.type == "end":
            self._latest.pop(event.after.id, None)
        else:
            self._latest[event.after.id] = event.after
        trigger = _trigger(event)
        for rules in self._rules:
            if trigger == rules.on and _concerns(rules, event.after):
                if len(self._waiting) >= _MOST_WAITING:
                    self.overflows += 1
                else:
                    self._waiting.append(Asked(rules, event.after, monotonic_ns + rules.confirm_ns))

    def due(self, monotonic_ns: int) -> Asked | None:
        """The next response whose time has come, once."""
        for asked in self._waiting:
            if asked.due_ns <= monotonic_ns:
                self._waiting.remove(asked)
                return asked
        return None

    @property
    def waiting(self) -> int:
        """How many responses are not due yet."""
        return len(self._waiting)

    def next_due_ns(self) -> int | None:
        """When that will be; None where nothing waits."""
        return min((asked.due_ns for asked in self._waiting), default=None)

    def forbids(self, asked: Asked, now_ns: int) -> Outcome | None:
        """Why it may not be done at the host's time `now_ns`; None where it may, and that counts as done from then on."""
        rules = asked.rules
        if not rules.armed:
            return "disarmed"
        if not self._still_holds(asked):
            return "unconfirmed"
        latest_ns = self._done_ns.get(rules.id)
        if latest_ns is not None:
            # A clock that was set back makes nobody wait for longer than one interval.
            latest_ns = self._done_ns[rules.id] = min(latest_ns, now_ns)
            if now_ns - latest_ns < rules.min_interval_ns:
                return "too_soon"
        self._done_ns[rules.id] = now_ns
        return "dry_run" if rules.dry_run else None

    def snapshot(self) -> bytes:
        """What must outlive a restart."""
        return msgspec.json.encode(self._done_ns)

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`; raises ValueError, and changes nothing, where it is damaged."""
        done_ns = read_snapshot(snapshot, dict[str, int], "the times of responses")
        known = {rules.id for rules in self._rules}
        self._done_ns = {name: at_ns for name, at_ns in done_ns.items() if name in known}

    def _still_holds(self, asked: Asked) -> bool:
        """Of what was raised: it deviates, in the open, and is seen. Of what was cleared: it was not raised again."""
        latest = self._latest.get(asked.alarm.id)
        if asked.rules.on == "cleared":
            return latest is None or latest.cleared_ns is not None
        return (
            latest is not None
            and latest.cleared_ns is None
            and latest.state not in _HIDDEN
            and latest.data == "good"
            and latest.occurrences == asked.alarm.occurrences
        )


def _trigger(event: AlarmEvent) -> Trigger | None:
    before, after = event.before, event.after
    if after.state in _HIDDEN:
        return None
    if after.cleared_ns is None:
        raised = before is None or before.occurrences < after.occurrences or before.state in _HIDDEN
        return "raised" if raised and event.type != "end" else None
    return "cleared" if before is not None and before.cleared_ns is None else None


def _concerns(rules: ResponseRules, alarm: AlarmState) -> bool:
    urgent = _PRIORITIES.index(alarm.priority) <= _PRIORITIES.index(rules.least)
    return rules.machine == alarm.machine and urgent and any(fnmatchcase(alarm.point, each) for each in rules.points)

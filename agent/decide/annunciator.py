"""What alarms of all machines have to do with each other: which was the first out of its group, and which wait for a flood to pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent.decide.alarm import AlarmState, Priority
from agent.decide.isa18 import State
from agent.decide.kpi import AlarmLoad

FLOOD = "flood"
_MAY_WAIT = frozenset[Priority]({"low", "medium"})
_HIDDEN = frozenset({State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE})


class Lister(Protocol):
    """One machine's alarms."""

    @property
    def standing(self) -> Sequence[AlarmState]:
        """Those that stand now."""
        ...


@dataclass(slots=True)
class Stillness:
    """Event time where no window comes: it goes on as the host's clock does, from when it was last seen to move."""

    _event_ns: int = 0
    _since_ns: int = 0

    def event_time(self, newest_ns: int, now_ns: int) -> int:
        """What it is now; `newest_ns` is that of the windows, `now_ns` the host's."""
        if newest_ns != self._event_ns:
            self._event_ns, self._since_ns = newest_ns, now_ns
        return newest_ns + max(0, now_ns - self._since_ns)


@dataclass(slots=True)
class Annunciator:
    """Shared by all alarm points of an agent, and asked by each before it raises an alarm.

    An alarm is the first out where no other of its group stands in the open. Groups are named; a machine without one is alone with its own alarms.
    """

    load: AlarmLoad = field(default_factory=AlarmLoad)
    _group_of: dict[str, str] = field(default_factory=dict)
    _members: defaultdict[str, list[Lister]] = field(default_factory=lambda: defaultdict(list))

    def join(self, machine: str, group: str | None, alarms: Lister) -> None:
        """Take a machine in."""
        name = f"machine {machine}" if group is None else f"group {group}"
        self._group_of[machine] = name
        self._members[name].append(alarms)

    def part(self, machine: str, alarms: Lister) -> None:
        """Take a machine's alarms out, before others join in their place."""
        self._members[self._group_of[machine]].remove(alarms)

    def is_first_out(self, machine: str) -> bool:
        """Whether an alarm of `machine` that is raised now finds none of its group before it."""
        members = self._members[self._group_of[machine]]
        return not any(alarm.state not in _HIDDEN for member in members for alarm in member.standing)

    def raising(self, machine: str, point: str, priority: Priority, t_ns: int, *, stands: bool) -> bool:
        """Count an alarm that is raised in the open; True where it must wait for a flood to pass, as no critical or high one ever does,
        and none that `stands` already.
        """
        self.load.raised(machine, point, priority, t_ns)
        waits = self.load.flood and priority in _MAY_WAIT and not stands
        if waits:
            self.load.held_back()
        return waits

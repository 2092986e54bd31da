"""A draft of a commit: what one step has decided so far, and what of it must be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from agent.decide.alarm import AlarmEvent, Change
from agent.decide.isa18 import Action
from agent.decide.journal import entry
from agent.decide.summary import SummaryReport
from agent.metrics import Counters
from agent.pipeline.machine import Machine
from agent.pipeline.memory import Memory, Touched
from agent.types import Commit, Message, Retained
from agent.upstream.compose import Composer


@dataclass(slots=True)
class Draft:
    """Messages are composed as their cause is taken, so that they are numbered in its order. counters: alarms (events by type)."""

    composer: Composer
    counters: Counters
    touched: Touched = field(default_factory=Touched)
    _messages: list[Message] = field(default_factory=list)
    _journal: list[bytes] = field(default_factory=list)
    _events: list[AlarmEvent] = field(default_factory=list)

    def take(self, machine: Machine, changes: Iterable[Change]) -> None:
        """What became of a machine's alarms."""
        for change in changes:
            self.touched.judging(machine)
            machine.yardstick.take(change)
            self._journal += [entry("transition", transition) for transition in change.transitions]
            self.touched.load |= any(transition.action is Action.RAISE for transition in change.transitions)
            if change.event is not None:
                self._announce(machine, change.event)

    def _announce(self, machine: Machine, event: AlarmEvent) -> None:
        self.counters.add(f"alarms_{event.type}")
        self._events.append(event)
        self._messages.append(self.composer.alarm(event, machine.time_quality))
        if event.type == "new":
            machine.summary.add_alarm()

    def summarise(self, machine: Machine, reports: Iterable[SummaryReport]) -> None:
        """A machine's interval, and days that are over."""
        self._messages += [self.composer.summary(report, machine.time_quality) for report in reports]
        self.touched.fits[machine.id] = machine

    def commit(self, memory: Memory, respond: Callable[[AlarmEvent], None] | None) -> Commit:
        """All of it, to be made durable as a whole; `respond` is told every event after that."""
        state = memory.snapshots(self.touched)
        retained = tuple(standing(machine, self.composer) for machine in self.touched.alarms.values())
        answers = () if respond is None else tuple(partial(respond, event) for event in self._events)
        return Commit(tuple(self._messages), state, retained, tuple(self._journal), answers)


def standing(machine: Machine, composer: Composer) -> Retained:
    """The alarms of a machine that stand now, as its retained topic says them."""
    alarms = machine.alarms.standing
    time_ns = max([machine.newest_ns, *(alarm.updated_ns for alarm in alarms)])
    return composer.standing(machine.id, alarms, machine.alarms.hidden, time_ns, machine.time_quality)

"""Floods of alarms, which all machines are in together: what waits for one is announced once it is over."""

from __future__ import annotations

from collections.abc import Mapping

from agent.decide.annunciator import Annunciator, Stillness
from agent.decide.kpi import AlarmLoad
from agent.decide.machine_alarms import MachineAlarms
from agent.pipeline.draft import Draft
from agent.pipeline.machine import Machine


class Floods:
    """Event times of all machines count, so that a silent one holds nothing back."""

    def __init__(self, machines: Mapping[str, Machine]) -> None:
        self._machines = machines
        self._annunciator = Annunciator()
        self._stillness = Stillness()
        self._recheck = False
        for machine in machines.values():
            machine.alarms.join(self._annunciator, machine.id, machine.group)

    @property
    def load(self) -> AlarmLoad:
        """Of the alarms of all machines."""
        return self._annunciator.load

    def exchange(self, machine: Machine, before: MachineAlarms) -> None:
        """A machine has other alarms than `before`, with another model."""
        self._annunciator.part(machine.id, before)
        machine.alarms.join(self._annunciator, machine.id, machine.group)

    def recheck(self) -> None:
        """Alarms were taken up again: they may wait for a flood that is over already, before the last stop perhaps."""
        self._recheck = True

    def move(self, draft: Draft, t_ns: int) -> None:
        """It is `t_ns` by the windows."""
        over_ns = self._annunciator.load.move(t_ns)
        if self._recheck:
            self._recheck = False
            if over_ns is None and not self.load.flood:
                over_ns = t_ns
        if over_ns is not None:
            self._pass(draft, over_ns)

    def rest(self, draft: Draft, now_ns: int) -> None:
        """It is `now_ns` by the host's clock, which event time follows where no samples come."""
        event_ns = self._stillness.event_time(self.load.now_ns, now_ns)
        over_ns = self.load.end_flood(event_ns)
        if over_ns is not None:
            self._pass(draft, over_ns)

    def _pass(self, draft: Draft, over_ns: int) -> None:
        """Announce what waited for the flood that was over at `over_ns`."""
        draft.touched.load = True
        for machine in self._machines.values():
            draft.take(machine, machine.alarms.lift_flood(over_ns))

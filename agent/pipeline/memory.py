"""Memory: what of the pipeline outlives a restart, each part under its name, and how it is taken up again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agent.decide.day import Day
from agent.decide.kpi import AlarmLoad
from agent.metrics import Counters
from agent.pipeline.machine import Machine

log = logging.getLogger(__name__)

_LOAD = "alarm-load"


@dataclass(slots=True)
class Touched:
    """What must be kept anew, by machine."""

    alarms: dict[str, Machine] = field(default_factory=dict)
    fits: dict[str, Machine] = field(default_factory=dict)
    days: dict[str, Day] = field(default_factory=dict)
    load: bool = False  # of alarms, of all machines

    def judging(self, machine: Machine) -> None:
        """All that a model leaves behind in a machine."""
        self.alarms[machine.id] = self.fits[machine.id] = machine


class Memory:
    """A snapshot that cannot be read is reported, and its part starts anew. counters: snapshots_refused."""

    def __init__(self, machines: Mapping[str, Machine], load: AlarmLoad, counters: Counters) -> None:
        self._machines = machines
        self._load = load
        self._counters = counters

    def snapshots(self, touched: Touched) -> dict[str, bytes]:
        """Of what was touched, by name."""
        state = {_alarms_name(name): machine.alarms.snapshot() for name, machine in touched.alarms.items()}
        state |= {_fit_name(name): machine.yardstick.snapshot() for name, machine in touched.fits.items()}
        state |= {_day_name(name): day.snapshot() for name, day in touched.days.items()}
        if touched.load:
            state[_LOAD] = self._load.snapshot()
        return state

    def restore(self, state: Mapping[str, bytes]) -> None:
        """Go on from what was kept last, by name."""
        for name, machine in self._machines.items():
            self.take_up(machine, state)
            if machine.day is not None:
                self._restored(state, _day_name(name), machine.day.restore, f"machine {name} begins its day anew")
        self._restored(state, _LOAD, self._load.restore, "the count of alarms starts anew")

    def of_judging(self, machine: Machine) -> dict[str, bytes]:
        """What of a machine outlives an exchange of its model too, for `take_up`."""
        return {
            _alarms_name(machine.id): machine.alarms.snapshot(),
            _fit_name(machine.id): machine.yardstick.snapshot(),
        }

    def take_up(self, machine: Machine, state: Mapping[str, bytes]) -> None:
        """The alarms of a machine that stood, and how well its model fits."""
        name = _alarms_name(machine.id)
        for problem in machine.alarms.restore(state[name]) if name in state else ():
            self._counters.add("snapshots_refused")
            log.error("machine %s starts without part of its earlier alarm state: %s", machine.id, problem)
        otherwise = f"machine {machine.id} counts its false alarms anew"
        self._restored(state, _fit_name(machine.id), machine.yardstick.restore, otherwise)

    def _restored(
        self, state: Mapping[str, bytes], name: str, restore: Callable[[bytes], None], otherwise: str
    ) -> None:
        try:
            if name in state:
                restore(state[name])
        except ValueError as error:
            self._counters.add("snapshots_refused")
            log.error("%s: %s", otherwise, error)


def _alarms_name(machine: str) -> str:
    return f"alarm/{machine}"


def _fit_name(machine: str) -> str:
    return f"fit/{machine}"


def _day_name(machine: str) -> str:
    return f"day/{machine}"

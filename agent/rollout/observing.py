"""What the pipeline shows of each window that it judged, passed to whoever tries something with that machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from agent.decide.alarm import MODEL, Change
from agent.decide.isa18 import Action
from agent.decide.lasting import Likelihood
from agent.pipeline.machine import Machine
from agent.types import Verdict


class Observer(Protocol):
    """Looks on in the pipeline's thread; quick, and never waiting."""

    def look(self, machine: Machine, verdict: Verdict, likelihood: Likelihood, changes: Sequence[Change]) -> None:
        """One window was judged."""
        ...


class Observing:
    """`look` is the pipeline's; `set` and `clear` are another thread's, and change the whole table at once."""

    def __init__(self) -> None:
        self._observers: dict[str, Observer] = {}

    def set(self, machines: Iterable[str], observer: Observer) -> None:
        """Show `observer` what becomes of these machines' windows."""
        self._observers = {**self._observers, **dict.fromkeys(machines, observer)}

    def clear(self, observer: Observer) -> None:
        """Show it nothing any more."""
        self._observers = {name: each for name, each in self._observers.items() if each is not observer}

    def look(self, machine: Machine, verdict: Verdict, likelihood: Likelihood, changes: Sequence[Change]) -> None:
        """Pass one window on; `Pipeline.watch`."""
        observer = self._observers.get(machine.id)
        if observer is not None:
            observer.look(machine, verdict, likelihood, changes)


def raised(changes: Sequence[Change]) -> int:
    """How often the model raised an alarm in these."""
    return sum(
        transition.action is Action.RAISE and transition.point == MODEL
        for change in changes
        for transition in change.transitions
    )

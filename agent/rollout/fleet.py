"""The machines as they are watched now, and the exchange of what watches them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from agent.config.bundles import is_stored
from agent.config.checked import CheckedMachine
from agent.pipeline.machine import Model

Put = Callable[[Sequence[Model]], None]


class Fleet:
    """One thread exchanges, any may read; `machines` is replaced as a whole."""

    def __init__(
        self,
        machines: Mapping[str, CheckedMachine],
        model_of: Callable[[CheckedMachine], Model],
        put: Put,
        exchanged: Callable[[CheckedMachine], None],
    ) -> None:
        """`put` hands models to the pipeline and waits, `exchanged` is told of each machine that another bundle watches."""
        self.machines: Mapping[str, CheckedMachine] = dict(machines)
        self._model_of = model_of
        self._put = put
        self._exchanged = exchanged

    @property
    def names(self) -> list[str]:
        """Of the store's bundles that machines are watched by."""
        bundles = (machine.config.bundle for machine in self.machines.values())
        return list(dict.fromkeys(bundle for bundle in bundles if is_stored(bundle)))

    def watched_by(self, name: str) -> list[CheckedMachine]:
        """The machines that name this bundle of the store."""
        return [machine for machine in self.machines.values() if machine.config.bundle == name]

    def model_of(self, machine: CheckedMachine) -> Model:
        """What of its stages comes with its bundle."""
        return self._model_of(machine)

    def exchange(self, successors: Sequence[CheckedMachine]) -> None:
        """From now on these are watched by the bundle that they carry, one for all; raises BundleError, and nothing has changed, where that cannot be."""
        before = [self.machines[each.id].session for each in successors]
        self._put([self._model_of(each) for each in successors])
        self.machines = {**self.machines, **{each.id: each for each in successors}}
        in_use = {id(machine.session) for machine in self.machines.values()}
        for session in {id(each): each for each in before if id(each) not in in_use}.values():
            session.close()
        for each in successors:
            self._exchanged(each)

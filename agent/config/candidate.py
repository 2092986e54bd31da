"""Proves a bundle for machines that are watched already: signature and policy, golden vectors, and that it fits their channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from agent.config.checked import CheckedMachine
from agent.config.commissioning import commissioning_file, read_commissioning
from agent.config.contract import check_contract
from agent.config.findings import Findings
from agent.decode.profile import Profile
from agent.errors import BundleError
from agent.infer.bundle import Bundle
from agent.infer.loading import load
from agent.infer.settings import InferenceSettings
from agent.infer.slot import ScorerSlot
from agent.trust.memory import Memory
from agent.trust.policy import Admitted, Trust, open_admitted
from agent.window.contract import Contract


@dataclass(frozen=True, slots=True)
class Prover:
    """What it takes to judge a bundle on this box; `now` gives None where the clock is not synchronised."""

    trust: Trust
    settings: InferenceSettings
    profiles: Mapping[str, Profile]
    state: Path
    now: Callable[[], int | None]

    def admitted(self, data: bytes, memory: Memory) -> Admitted:
        """The bundle in `data`; raises BundleError where it may not run here."""
        return open_admitted(data, self.trust, memory, self.now())

    def load(self, bundle: Bundle) -> ScorerSlot:
        """Its model, loaded and proven by its golden vectors; raises BundleError or InferenceError."""
        return ScorerSlot(load(bundle, self.settings))

    def check_fit(self, machine: CheckedMachine, bundle: Bundle) -> None:
        """Raises BundleError where the machine's channels are not those that the model was trained on."""
        findings = Findings(lambda _path: f"machine {machine.id}", Path())
        check_contract((), bundle.manifest.contract, machine.channels, self.profiles, findings)
        if findings.problems:
            raise BundleError("; ".join(map(str, findings.problems)))

    def fitted(self, machine: CheckedMachine, bundle: Bundle, session: ScorerSlot) -> CheckedMachine:
        """The machine with this bundle; what was learnt on the box for another one is not used with it."""
        self.check_fit(machine, bundle)
        findings = Findings(lambda _path: f"machine {machine.id}", Path())
        file = commissioning_file(self.state, machine.id)
        commissioned, refused = read_commissioning((), file, machine.config, bundle, findings)
        return replace(
            machine, bundle=bundle, session=session, commissioned=commissioned, refused=refused, stands_in_for=None
        )


def check_exchange(running: Contract, new: Contract) -> None:
    """Raises BundleError where samples that are gathered for the one are of no use to the other."""
    if new.channels != running.channels:
        what = f"it takes {_told(new)}, the bundle that runs takes {_told(running)}"
    elif new.rate_hz != running.rate_hz:
        what = f"it is of {new.rate_hz:g} Hz, the bundle that runs is of {running.rate_hz:g} Hz"
    else:
        return
    raise BundleError(f"{what}: stop the agent, activate it, and start the agent again")


def _told(contract: Contract) -> str:
    return ", ".join(f"{channel.name} [{channel.unit}]" for channel in contract.channels)

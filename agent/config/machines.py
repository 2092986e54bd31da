"""Check the machines: each has a model that may run, proves itself here, and gets the channels it was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from agent.bundles.store import Store, for_slots, read_store
from agent.config.bundles import is_stored
from agent.config.checked import ChannelRef, CheckedMachine, CheckedTrust
from agent.config.commissioning import commissioning_file, read_commissioning
from agent.config.contract import check_contract
from agent.config.findings import Findings
from agent.config.inference import inference_settings
from agent.config.rules import check_rules, check_states
from agent.config.schema import Config, Machine
from agent.decide.calibration import Calibration
from agent.decide.support import rarest_words, support
from agent.decode.profile import Profile
from agent.errors import BundleError, InferenceError
from agent.infer.bundle import MAX_BYTES, Bundle
from agent.infer.loading import load
from agent.infer.settings import InferenceSettings
from agent.infer.slot import ScorerSlot
from agent.quantities import parse_rate_per_hour
from agent.toml_structs import KeyPath, nearest
from agent.trust.policy import open_admitted


def check_machines(
    config: Config,
    profiles: Mapping[str, Profile | None],
    deadline_ns: int,
    findings: Findings,
    *,
    trust: CheckedTrust | None,
    now_ns: int | None,
) -> dict[str, CheckedMachine]:
    """The machines by id; incomplete where there are problems.

    `profiles` are the devices', None where one has problems of its own; `deadline_ns` is the sessions'. No bundle
    runs without `trust`; `now_ns` is None where the box's clock proves nothing.
    """
    findings.ids("machine", (machine.id for machine in config.machine))
    state = findings.beside / config.agent.state
    settings = inference_settings(config.inference, deadline_ns, state)
    models = _Models(trust, now_ns, settings, findings, read_store(state))
    checked = {}
    for index, machine in enumerate(config.machine):
        found = _machine(("machine", index), machine, profiles, models, findings, state=state)
        if found is not None:
            checked[machine.id] = found
    return checked


def _machine(
    at: KeyPath,
    machine: Machine,
    profiles: Mapping[str, Profile | None],
    models: _Models,
    findings: Findings,
    *,
    state: Path,
) -> CheckedMachine | None:
    budget = findings.parsed((*at, "false_alarms"), machine.false_alarms, parse_rate_per_hour)
    on_delay_ns = findings.duration_ns((*at, "on_delay"), machine.on_delay, "0s", "30d")
    off_delay_ns = findings.duration_ns((*at, "off_delay"), machine.off_delay, "0s", "30d")
    if machine.group is not None:
        findings.identifier((*at, "group"), machine.group)
    summary_every_ns = findings.duration_ns((*at, "summary_every"), machine.summary_every, "1s", "30d")
    if not (math.isfinite(machine.clear_factor) and machine.clear_factor >= 1):
        findings.problem(
            (*at, "clear_factor"), f"{machine.clear_factor} is below 1", "10 is usual; 1 means no hysteresis"
        )
    channels = _channels(at, machine, profiles, findings)
    rules, suppress_when = check_rules(at, machine, machine.channels, findings)
    states = check_states(at, machine, machine.channels, findings)
    model = models.get((*at, "bundle"), machine.bundle)
    if model is None:
        return None
    bundle, session = model
    if channels is not None:
        known = {name: profile for name, profile in profiles.items() if profile is not None}
        check_contract((*at, "channels"), bundle.manifest.contract, channels, known, findings)
    if channels is None or budget is None:
        return None
    commissioned, refused = read_commissioning(at, commissioning_file(state, machine.id), machine, bundle, findings)
    checked = CheckedMachine(
        id=machine.id,
        config=machine,
        bundle=bundle,
        session=session,
        channels=tuple(channels),
        false_alarms_per_hour=budget,
        on_delay_ns=on_delay_ns,
        off_delay_ns=off_delay_ns,
        summary_every_ns=summary_every_ns,
        suppress_when=suppress_when,
        rules=rules,
        states=states,
        commissioned=commissioned,
        refused=refused,
        stands_in_for=models.stand_ins.get(machine.bundle),
        actions=_actions(known),
    )
    _check_budget((*at, "false_alarms"), machine.false_alarms, budget, checked.calibration, findings)
    if machine.adapt and commissioned is None:
        findings.warn((*at, "adapt"), "there is nothing to adapt yet", f"run `stethos commission {machine.id}`")
    return checked


def _actions(profiles: Mapping[str, Profile]) -> dict[str, str]:
    return {
        f"{device}.{channel.name}": action
        for device, profile in profiles.items()
        for channel in profile.channel
        if (action := channel.action or profile.action)
    }


def _channels(
    at: KeyPath, machine: Machine, profiles: Mapping[str, Profile | None], findings: Findings
) -> list[ChannelRef] | None:
    """The references resolved, or None where one of them could not be."""
    refs = []
    for index, text in enumerate(machine.channels):
        path = (*at, "channels", index)
        device, dot, channel = text.partition(".")
        if not dot:
            findings.problem(path, f"'{text}' names no channel of a device", "write DEVICE.CHANNEL")
        elif device not in profiles:
            findings.problem(path, f"'{text}': there is no device '{device}'", nearest(device, profiles))
        elif (known := profiles[device]) is not None:
            names = known.channel_names
            if channel in names:
                refs.append(ChannelRef(device, channel, names.index(channel)))
            else:
                findings.problem(path, f"the device '{device}' has no channel '{channel}'", nearest(channel, names))
    return refs if len(refs) == len(machine.channels) else None


def _check_budget(path: KeyPath, text: str, budget: float, calibration: Calibration, findings: Findings) -> None:
    told = support(calibration, budget)
    if not told.sufficient:
        remedy = f"calibrate on more normal data, or allow more false alarms: '{rarest_words(calibration)}'"
        findings.warn(path, told.words(text), remedy)


class _Models:
    """Bundles opened once for each file and proven once for each content, however many machines they watch."""

    def __init__(
        self,
        trust: CheckedTrust | None,
        now_ns: int | None,
        settings: InferenceSettings,
        findings: Findings,
        store: Store,
    ) -> None:
        self.stand_ins: dict[str, str] = {}  # by name in the store, why its active bundle is not the one that runs
        self._store = store
        self._trust = trust
        self._now_ns = now_ns
        self._settings = settings
        self._findings = findings
        self._known: dict[str, tuple[Bundle, ScorerSlot] | None] = {}
        self._proven: dict[str, ScorerSlot] = {}

    def get(self, path: KeyPath, file: str) -> tuple[Bundle, ScorerSlot] | None:
        """The model in `file`, or of that name in the store; None where it may not run, with the reason noted where it was first asked for."""
        if file not in self._known:
            self._known[file] = self._open_stored(path, file) if is_stored(file) else self._open(path, file)
        return self._known[file]

    def _open_stored(self, path: KeyPath, name: str) -> tuple[Bundle, ScorerSlot] | None:
        """The active bundle, or the last good one where that one cannot run any more."""
        try:
            slots = self._store.slots(name)
            active, before = slots.active, slots.free if slots.last_good else None
            if active is None:
                remedy = "`stethos bundle install` it, or write the path of a file"
                self._findings.problem(path, f"there is no bundle '{name}' in the store", remedy)
            if active is None or self._trust is None:
                return None
            trust = replace(self._trust, memory=for_slots(self._trust.memory))
            try:
                return self._admit(path, name, self._store.data(slots, active), trust)
            except BundleError as error:
                if before is None:
                    raise
                found = self._admit(path, name, self._store.data(slots, before), trust)
                self.stand_ins[name] = str(error)
                self._findings.warn(path, f"{name}: the bundle before it runs, for {error}")
                return found
        except BundleError as error:
            self._findings.problem(path, f"{name}: {error}")
        except InferenceError as error:
            self._findings.problem(("inference", "device"), f"for {name}: {error}")
        return None

    def _open(self, path: KeyPath, file: str) -> tuple[Bundle, ScorerSlot] | None:
        trust = self._trust
        data = self._findings.read(path, file, MAX_BYTES if trust is None else trust.trust.max_bytes)
        if data is None or trust is None:
            return None
        try:
            return self._admit(path, file, data, trust)
        except BundleError as error:
            self._findings.problem(path, f"{file}: {error}")
        except InferenceError as error:
            self._findings.problem(("inference", "device"), f"for {file}: {error}")
        return None

    def _admit(self, path: KeyPath, file: str, data: bytes, trust: CheckedTrust) -> tuple[Bundle, ScorerSlot]:
        """Verified and proven; raises BundleError or InferenceError."""
        admitted = open_admitted(data, trust.trust, trust.memory, self._now_ns)
        bundle = admitted.bundle
        if bundle.digest not in self._proven:
            self._proven[bundle.digest] = self._prove(bundle)
        for warning in admitted.warnings:
            self._findings.warn(path, f"{file}: {warning}")
        return bundle, self._proven[bundle.digest]

    def _prove(self, bundle: Bundle) -> ScorerSlot:
        return ScorerSlot(load(bundle, self._settings))

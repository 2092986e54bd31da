"""Check the machines: each has a model that may run, proves itself here, and gets the channels it was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.config.checked import ChannelRef, CheckedMachine
from agent.config.commissioning import commissioning_file, read_commissioning
from agent.config.contract import check_contract
from agent.config.findings import Findings
from agent.config.rules import check_rules, check_states
from agent.config.schema import Config, Inference, Machine, Trust
from agent.decide.calibration import Calibration
from agent.decide.support import rarest_words, support
from agent.decode.profile import Profile
from agent.errors import BundleError, InferenceError
from agent.infer.bundle import MAX_BYTES, Bundle, open_bundle
from agent.infer.keys import public_key
from agent.infer.session import Session
from agent.quantities import parse_rate_per_hour
from agent.toml_structs import KeyPath, nearest

_LONGEST_KEY_BYTES = 65_536


def check_machines(
    config: Config, profiles: Mapping[str, Profile | None], deadline_ns: int, findings: Findings
) -> dict[str, CheckedMachine]:
    """The machines by id; incomplete where there are problems.

    `profiles` are the devices', None where one has problems of its own; `deadline_ns` is the sessions'.
    """
    findings.ids("machine", (machine.id for machine in config.machine))
    state = findings.beside / config.agent.state
    models = _Models(_trusted(config.trust, findings), config.inference, deadline_ns, findings)
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
    )
    _check_budget((*at, "false_alarms"), machine.false_alarms, budget, checked.calibration, findings)
    if machine.adapt and commissioned is None:
        findings.warn((*at, "adapt"), "there is nothing to adapt yet", f"run `stethos commission {machine.id}`")
    return checked


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


def _trusted(trust: Trust, findings: Findings) -> Sequence[Ed25519PublicKey] | None:
    """The trusted keys, or None where one of them is unreadable: then no verdict on a signature would be just."""
    keys = []
    for index, file in enumerate(trust.keys):
        path = ("trust", "keys", index)
        pem = findings.read(path, file, _LONGEST_KEY_BYTES)
        key = None if pem is None else findings.attempt(lambda: public_key(pem, f"{findings.locate(path)}: {file}"))  # noqa: B023 - called at once
        if key is not None:
            keys.append(key)
    if not trust.keys:
        findings.problem(
            ("trust", "keys"), "no key is trusted, so no bundle may run", "add the .pub file of whoever signs bundles"
        )
    return keys if keys and len(keys) == len(trust.keys) else None


class _Models:
    """Bundles opened once for each file and proven once for each content, however many machines they watch."""

    def __init__(
        self, trusted: Sequence[Ed25519PublicKey] | None, inference: Inference, deadline_ns: int, findings: Findings
    ) -> None:
        self._trusted = trusted
        self._inference = inference
        self._deadline_ns = deadline_ns
        self._findings = findings
        self._known: dict[str, tuple[Bundle, Session] | None] = {}
        self._proven: dict[str, Session] = {}

    def get(self, path: KeyPath, file: str) -> tuple[Bundle, Session] | None:
        """The model in `file`; None where it may not run, with the reason noted where it was first asked for."""
        if file not in self._known:
            self._known[file] = self._open(path, file)
        return self._known[file]

    def _open(self, path: KeyPath, file: str) -> tuple[Bundle, Session] | None:
        data = self._findings.read(path, file, MAX_BYTES)
        if data is None or self._trusted is None:
            return None
        try:
            bundle = open_bundle(data, self._trusted)
            if bundle.digest not in self._proven:
                self._proven[bundle.digest] = self._prove(bundle)
        except BundleError as error:
            self._findings.problem(path, f"{file}: {error}")
            return None
        except InferenceError as error:
            self._findings.problem(("inference", "device"), f"for {file}: {error}")
            return None
        return bundle, self._proven[bundle.digest]

    def _prove(self, bundle: Bundle) -> Session:
        use = self._inference
        return Session(
            bundle, device=use.device, required=use.required, threads=use.threads, deadline_ns=self._deadline_ns
        )

"""Checks of a part of the agent's file: its devices before there is a model, or its models away from the box."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agent.config.candidate import Prover
from agent.config.checked import CheckedDevice, CheckedMachine
from agent.config.devices import check_devices, check_profile
from agent.config.findings import Findings
from agent.config.inference import inference_settings
from agent.config.load import load
from agent.config.machines import check_machines
from agent.config.schema import Config, Machine, Trust, Upstream
from agent.config.trust import check_trust
from agent.decode.profile import Profile
from agent.errors import ConfigError, Problem
from agent.infer.settings import InferenceSettings
from agent.ports.listing import ListPorts, system_ports
from agent.timesync import trusted_now_ns


class Commissioning(Config, frozen=True, kw_only=True):
    """The agent's file when only its devices are known."""

    upstream: Upstream = Upstream(broker="mqtt://localhost")
    trust: Trust = Trust(keys=[])
    machine: list[Machine] = msgspec.field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Devices:
    """What it takes to read the devices."""

    agent: str
    devices: Mapping[str, CheckedDevice]
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Desk:
    """What it takes to keep bundles while no agent runs: where they lie, how one proves itself, and whom each watches."""

    state: Path
    prover: Prover
    machines: Mapping[str, str]  # what each one's `bundle` says


@dataclass(frozen=True, slots=True)
class Models:
    """What it takes to judge what the devices once sent: no port, broker or password."""

    agent: str
    base: str
    profiles: Mapping[str, Profile]
    machines: Mapping[str, CheckedMachine]
    inference: InferenceSettings


def check_for_recording(path: Path, list_ports: ListPorts = system_ports) -> Devices:
    """The devices of the file in `path`; machines, bundles and brokers for alarms may be missing. Raises ConfigError."""
    loaded = load(path, Commissioning)
    findings = Findings(loaded.locate, path.parent, loaded.problems)
    findings.identifier(("agent", "id"), loaded.config.agent.id)
    devices = check_devices(loaded.config.device, findings, list_ports)
    if findings.problems:
        raise ConfigError(findings.problems)
    known = {name: device for name, device in devices.items() if device is not None}
    return Devices(loaded.config.agent.id, known, tuple(findings.warnings))


def check_for_bundles(path: Path) -> Desk:
    """Trust and inference of the file in `path`; its devices, machines and bundles may have problems. Raises ConfigError."""
    loaded = load(path)
    config = loaded.config
    findings = Findings(loaded.locate, path.parent, loaded.problems)
    deadline_ns = findings.duration_ns(("inference", "deadline"), config.inference.deadline, "10ms", "10m")
    trust = check_trust(config, findings)
    if findings.problems or trust is None:
        raise ConfigError(findings.problems)
    state = path.parent / config.agent.state
    prover = Prover(trust.trust, inference_settings(config.inference, deadline_ns, state), {}, state, trusted_now_ns)
    return Desk(state, prover, {machine.id: machine.bundle for machine in config.machine})


def check_for_replay(path: Path) -> Models:
    """The profiles, bundles and machines of the file in `path`; nothing of its ports, brokers and their passwords. Raises ConfigError."""
    loaded = load(path)
    config = loaded.config
    findings = Findings(loaded.locate, path.parent, loaded.problems)
    findings.ids("device", (device.id for device in config.device))
    deadline_ns = findings.duration_ns(("inference", "deadline"), config.inference.deadline, "10ms", "10m")
    profiles = {
        device.id: check_profile(("device", index), device, findings) for index, device in enumerate(config.device)
    }
    trust = check_trust(config, findings)
    machines = check_machines(config, profiles, deadline_ns, findings, trust=trust, now_ns=trusted_now_ns())
    if findings.problems:
        raise ConfigError(findings.problems)
    known = {name: profile for name, profile in profiles.items() if profile is not None}
    inference = inference_settings(config.inference, deadline_ns, path.parent / config.agent.state)
    return Models(config.agent.id, config.upstream.base, known, machines, inference)

"""What around a sound configuration keeps the agent from its work on this box: ports, brokers, hosts, accelerators, the disk."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.config.broker import Broker
from agent.config.checked import Checked, CheckedDevice, ModbusPlace, SerialPlace, TcpPlace
from agent.errors import LinkError
from agent.health import model_reasons
from agent.infer.engine_prospect import prospect
from agent.infer.model_health import model_health
from agent.ports.access import access
from agent.ports.listing import ListPorts, locate, system_ports

Dial = Callable[[str, int], None]

_DIAL_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `remedy` is empty where it is well."""

    where: str
    what: str
    remedy: str = ""

    @property
    def well(self) -> bool:
        return not self.remedy


def dial(host: str, port: int) -> None:
    """Open a TCP connection and close it; raises OSError."""
    with socket.create_connection((host, port), _DIAL_TIMEOUT_S):
        pass


def examine(checked: Checked, list_ports: ListPorts = system_ports, dialled: Dial = dial) -> Iterator[Finding]:
    """Look at everything once. A broker is dialled, and neither TLS nor login is tried."""
    for device in checked.devices.values():
        bus = device.place.bus if isinstance(device.place, ModbusPlace) else device.place
        if isinstance(bus, SerialPlace):
            yield _port(device, bus, list_ports)
        elif isinstance(bus, TcpPlace):
            yield _host(f"device {device.id}", bus.host, bus.port, dialled)
    brokers: dict[Broker, str] = {checked.upstream.broker: "upstream"}
    for device in checked.devices.values():
        if not isinstance(device.place, SerialPlace | ModbusPlace):
            brokers.setdefault(device.place.connection.broker, f"device {device.id}")
    for broker, where in brokers.items():
        yield _host(where, broker.host, broker.port, dialled)
    yield from _models(checked)
    yield from _engines(checked)
    yield _folder(checked.state, checked.config.outbox.max_bytes)


def _port(device: CheckedDevice, place: SerialPlace, list_ports: ListPorts) -> Finding:
    where = f"device {device.id}"
    try:
        path = os.path.realpath(locate(place.port, place.identity, list_ports))
    except LinkError as error:
        return Finding(where, str(error), "`stethos ports` lists what is there")
    if not Path(path).exists():
        return Finding(where, f"there is no {path}", "plug it in, or take a name from `stethos ports`")
    found = access([path])[path]
    if found.denied_group is not None:
        return Finding(where, f"no right to open {path}", f"let the user that runs stethos join '{found.denied_group}'")
    holders = f", open by {', '.join(found.holders)}" if found.holders else ""
    return Finding(where, f"{path} is there{holders}")


def _host(where: str, host: str, port: int, dialled: Dial) -> Finding:
    try:
        dialled(host, port)
    except OSError as error:
        return Finding(where, f"{host}:{port} is not reached: {error}", "check that it runs, the network and firewalls")
    return Finding(where, f"{host}:{port} accepts connections")


def _models(checked: Checked) -> Iterator[Finding]:
    for machine in checked.machines.values():
        where, promise = f"machine {machine.id}", machine.bundle.manifest.promise
        model = model_health(machine.session, None if promise is None else promise.batch_1_ms)
        reasons = model_reasons(machine.id, model)
        yield from (Finding(where, reason.what, reason.remedy) for reason in reasons)
        if not reasons:
            speed = "" if model.median_ms is None else f", {model.median_ms:.3g} ms a window"
            yield Finding(where, f"its model runs on {model.provider} as {model.variant}{speed}; {model.tuning}")


def _engines(checked: Checked) -> Iterator[Finding]:
    """Whether each model has the TensorRT engine that was asked for, or can have one."""
    for machine in checked.machines.values():
        found = prospect(machine.bundle, checked.inference)
        if found is not None:
            yield Finding(f"machine {machine.id}", found.what, found.remedy)


def _folder(state: Path, wanted_bytes: int) -> Finding:
    """The folder is made at the first start, so its nearest parent that exists must let that happen."""
    existing = next(folder for folder in (state, *state.absolute().parents) if folder.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding("state", f"no right to write in {existing}", "let the user that runs stethos own it")
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < wanted_bytes:
        what = f"{existing} has {free_bytes // 2**20} MiB free, the outbox may need {wanted_bytes // 2**20}"
        return Finding("state", what, "free space, or lower outbox.max_bytes")
    return Finding("state", f"{existing} can be written, {free_bytes // 2**20} MiB are free")

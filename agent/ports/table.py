"""The answer of `stethos ports`: each port with who it is, who may open it, and which device of the configuration it belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.errors import LinkError
from agent.ports.identity import Identity, Port, bind


@dataclass(frozen=True, slots=True)
class Wanted:
    """A port as the configuration names it; `path` has its links resolved, and is None where only the identity is given."""

    device: str
    path: str | None
    identity: Identity | None


@dataclass(frozen=True, slots=True)
class Access:
    """Who has a port open, as far as can be seen, and the group that may open it where this user may not."""

    holders: tuple[str, ...] = ()
    denied_group: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Ports, the access to each and the devices on each by its path, and why each of the other devices has no port."""

    ports: Sequence[Port]
    access: Mapping[str, Access]
    devices: Mapping[str, Sequence[str]]
    absent: Mapping[str, str]


def table(ports: Sequence[Port], access: Mapping[str, Access], wanted: Sequence[Wanted]) -> Table:
    """Bring the ports that are there and those that the configuration wants together."""
    devices: dict[str, list[str]] = {}
    absent: dict[str, str] = {}
    for each in wanted:
        try:
            devices.setdefault(_path(each, ports), []).append(each.device)
        except LinkError as error:
            absent[each.device] = str(error)
    return Table(ports, access, devices, absent)


def _path(wanted: Wanted, ports: Sequence[Port]) -> str:
    if wanted.identity is not None:
        return bind(wanted.path, wanted.identity, ports)
    if wanted.path is None or all(port.path != wanted.path for port in ports):
        raise LinkError(f"there is no {wanted.path} now")
    return wanted.path


def lines(answer: Table) -> Iterator[str]:
    """For a terminal."""
    if not answer.ports:
        yield "no serial port"
    for port in answer.ports:
        yield "  ".join(_cells(port, answer.devices.get(port.path, ())))
        yield from (f"    {link}" for link in port.links)
        yield from (f"    {remark}" for remark in _remarks(answer.access[port.path]))
    for device, why in answer.absent.items():
        yield f"device {device}: {why}"


def _cells(port: Port, devices: Sequence[str]) -> Iterator[str]:
    yield port.path
    yield port.vid_pid or "no USB device"
    if port.vid_pid:
        yield f"serial number {port.usb_serial or 'none'}"
    if port.maker:
        yield port.maker
    if devices:
        yield f"-> {', '.join(devices)}"


def _remarks(access: Access) -> Iterator[str]:
    if access.holders:
        yield f"open by {', '.join(access.holders)}"
    if (group := access.denied_group) is not None:
        yield f"permission denied: join the group '{group}' (sudo usermod -aG {group} $USER, then log in anew)"


def document(answer: Table) -> dict[str, object]:
    """For a script."""
    return {
        "ports": [
            {
                "path": port.path,
                "links": list(port.links),
                "vid_pid": port.vid_pid,
                "usb_serial": port.usb_serial,
                "manufacturer": port.manufacturer,
                "product": port.product,
                "holders": list(answer.access[port.path].holders),
                "denied_group": answer.access[port.path].denied_group,
                "devices": list(answer.devices.get(port.path, ())),
            }
            for port in answer.ports
        ],
        "absent": dict(answer.absent),
    }

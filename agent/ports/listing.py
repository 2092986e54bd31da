"""The ports that the system lists now, behind a seam of one function, so that made listings can stand in for real USB."""

from __future__ import annotations

import os.path
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from serial.tools import list_ports

from agent.ports.identity import Identity, Port, bind

ListPorts = Callable[[], Sequence[Port]]

_LINK_FOLDERS = (Path("/dev/stethos"), Path("/dev/serial/by-id"), Path("/dev/serial/by-path"))


def system_ports() -> list[Port]:
    """Every serial port of this box, by name."""
    links = _links()
    return sorted((_port(info, links) for info in list_ports.comports()), key=lambda port: port.path)


def locate(name: str | None, identity: Identity | None, list_ports: ListPorts) -> str:
    """The path to open now for a port named `name` (or wherever `identity` is); raises LinkError where that is not there."""
    if identity is None:
        assert name is not None, "a checked port has a name or an identity"
        return name
    return bind(None if name is None else os.path.realpath(name), identity, list_ports())


def _port(info: list_ports.ListPortInfo, links: dict[str, list[str]]) -> Port:
    path = os.path.realpath(info.device)
    return Port(
        path=path,
        links=tuple(links.get(path, ())),
        vid_pid=None if info.vid is None else f"{info.vid:04x}:{info.pid:04x}",
        usb_serial=_plain(info.serial_number),
        manufacturer=_plain(info.manufacturer),
        product=_plain(info.product),
    )


def _plain(told: str | None) -> str | None:
    """A device says of itself what it likes, and must not move a terminal's cursor or forge a line of a log."""
    return None if told is None else "".join(each if each.isprintable() else "?" for each in told)


def _links() -> dict[str, list[str]]:
    """The stable names of each port by its path."""
    links: defaultdict[str, list[str]] = defaultdict(list)
    for folder in _LINK_FOLDERS:
        for link in sorted(folder.iterdir()) if folder.is_dir() else ():
            links[os.path.realpath(link)].append(str(link))
    return links

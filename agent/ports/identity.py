"""Which USB device a port must be: found by its serial number wherever it is plugged in, refused where another took its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.errors import LinkError


@dataclass(frozen=True, slots=True)
class Port:
    """A serial port as the system lists it; `links` are its stable names, and a port that is no USB device has no vid_pid."""

    path: str  # /dev/ttyUSB0
    links: tuple[str, ...] = ()  # below /dev/stethos, /dev/serial/by-id and /dev/serial/by-path
    vid_pid: str | None = None  # in lower case, as in 0403:6001
    usb_serial: str | None = None
    manufacturer: str | None = None
    product: str | None = None

    @property
    def maker(self) -> str:
        """Who made it and what it is, as far as it says so."""
        return " ".join(part for part in (self.manufacturer, self.product) if part)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device says of itself over USB; None stands for any."""

    usb_serial: str | None = None
    vid_pid: str | None = None  # in lower case

    def fits(self, port: Port) -> bool:
        """True where `port` is such a device."""
        return self.usb_serial in {None, port.usb_serial} and self.vid_pid in {None, port.vid_pid}

    def __str__(self) -> str:
        """As messages name it."""
        serial = f"serial number {self.usb_serial}" if self.usb_serial else ""
        return ", ".join(part for part in (self.vid_pid, serial) if part)


def bind(path: str | None, identity: Identity, ports: Sequence[Port]) -> str:
    """The path at which the device `identity` is to be opened.

    `path` is the port that the configuration names, with links resolved, or None for wherever the device is. Raises LinkError
    where the device is not there, where something else is at its path, and where several ports answer to it.
    """
    fitting = [port.path for port in ports if identity.fits(port)]
    if path is None:
        return _only(fitting, identity)
    if path in fitting:
        return path
    found = next((port for port in ports if port.path == path), None)
    elsewhere = f"; the wanted one is at {' and '.join(fitting)} now" if fitting else ""
    if found is None:
        raise LinkError(f"{path} is not among the ports, wanted is the device {identity}{elsewhere}")
    raise LinkError(f"wrong device at {path}: it is {describe(found)}, wanted is {identity}{elsewhere}")


def _only(fitting: Sequence[str], identity: Identity) -> str:
    if not fitting:
        raise LinkError(f"no port has the device {identity}")
    if len(fitting) > 1:  # a converter with several channels, or a maker that numbers every unit alike
        raise LinkError(f"the device {identity} has several ports, {', '.join(fitting)}: name one with port = ...")
    return fitting[0]


def describe(port: Port) -> str:
    """Who `port` is, for a message."""
    if port.vid_pid is None:
        return "no USB device"
    maker = f" ({port.maker})" if port.maker else ""
    return f"{Identity(port.usb_serial or 'unknown', port.vid_pid)}{maker}"

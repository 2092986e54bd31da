"""Check the serial ports: each has one owner, a line that can be set up, and the device that it is bound to."""

from __future__ import annotations

import os.path
import re

from agent.config.checked import SerialPlace
from agent.config.findings import Findings
from agent.config.schema import Device, SerialPort
from agent.decode.profile import Profile
from agent.errors import LinkError
from agent.ports.identity import Identity
from agent.ports.listing import ListPorts, locate
from agent.toml_structs import KeyPath

_VID_PID = re.compile(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{4}")
_SLOWEST_BAUD, _USUAL_BAUD, _FASTEST_BAUD = 50, 115_200, 20_000_000


def check_owners(devices: list[Device], findings: Findings) -> dict[str, str]:
    """The owners by port. A port has one reader; two names of it, as under /dev/serial/by-id, are still one port."""
    owners: dict[str, str] = {}
    for index, device in enumerate(devices):
        serial = device.serial
        if serial is None or not (serial.port or serial.usb_serial):
            continue
        at: KeyPath = ("device", index, "serial", "port" if serial.port else "usb_serial")
        port = f"of {serial.usb_serial}"
        if serial.port:
            port = os.path.realpath(findings.beside / serial.port)
        if port in owners:
            what = f"the port {port} already belongs to the device '{owners[port]}'"
            findings.problem(at, what, "give each device its own port")
        owners.setdefault(port, device.id)
    return owners


def check_serial(
    at: KeyPath, serial: SerialPort, profile: Profile | None, findings: Findings, list_ports: ListPorts
) -> SerialPlace:
    """The place of a device on a serial port; problems and warnings are noted at the key `at`."""
    baud = serial.baud
    if baud is None:
        baud = profile.baud if profile is not None and profile.baud is not None else _USUAL_BAUD
    if not _SLOWEST_BAUD <= baud <= _FASTEST_BAUD:
        findings.problem((*at, "baud"), f"{baud} is no baud rate", "common ones are 9600, 115200, 921600")
    place = SerialPlace(
        port=str(findings.beside / serial.port) if serial.port else None,
        baud=baud,
        parity=serial.parity,
        stop_bits=serial.stop_bits,
        identity=check_identity(at, serial, findings),
        rs485=serial.rs485,
    )
    if not serial.port and serial.usb_serial is None:
        remedy = "stable names lie in /dev/serial/by-id; or give the usb_serial that `stethos ports` shows"
        findings.problem((*at, "port"), "the port has no name", remedy)
    else:
        _warn_of_absent(at, place, findings, list_ports)
    return place


def check_identity(at: KeyPath, serial: SerialPort, findings: Findings) -> Identity | None:
    """The device that a port must be, None where any will do."""
    if serial.usb_serial == "":
        findings.problem((*at, "usb_serial"), "the serial number is empty", "leave it out where the device has none")
    if serial.vid_pid is not None and not _VID_PID.fullmatch(serial.vid_pid):
        findings.problem((*at, "vid_pid"), f"'{serial.vid_pid}' is no VID:PID", "write four hex digits each: 0403:6001")
    if serial.usb_serial is None and serial.vid_pid is None:
        return None
    return Identity(serial.usb_serial, None if serial.vid_pid is None else serial.vid_pid.lower())


def _warn_of_absent(at: KeyPath, place: SerialPlace, findings: Findings, list_ports: ListPorts) -> None:
    """What is not there now may come; what is there under the wrong name is worth a look."""
    key = (*at, "usb_serial" if place.port is None else "port")
    if place.port is not None and not os.path.exists(place.port):  # noqa: PTH110 - a path that was joined already
        findings.warn(key, f"there is no {place.port} now", "plug it in, or take a name from /dev/serial/by-id")
        return
    try:
        locate(place.port, place.identity, list_ports)
    except LinkError as error:
        findings.warn(key, str(error), "`stethos ports` lists what is there")

"""Check the devices: each has a place, a profile that fits it, and a port of its own."""

from __future__ import annotations

import os.path

from agent.config.checked import CheckedDevice, SerialPlace, Subscription
from agent.config.connections import check_connection, check_filter
from agent.config.findings import Findings
from agent.config.profiles import ProfileMissing, read_profile
from agent.config.schema import Device, MqttTopic, SerialPort
from agent.decode.profile import Profile
from agent.errors import ConfigError, Problem
from agent.toml_structs import KeyPath, nearest

_SLOWEST_BAUD, _USUAL_BAUD, _FASTEST_BAUD = 50, 115_200, 20_000_000


def check_devices(devices: list[Device], findings: Findings) -> dict[str, CheckedDevice | None]:
    """Every device by id; None where its place or its profile is not known."""
    findings.ids("device", (device.id for device in devices))
    _check_ports(devices, findings)
    checked: dict[str, CheckedDevice | None] = {}
    for index, device in enumerate(devices):
        at = ("device", index)
        profile = _profile(at, device, findings)
        place = _place(at, device, profile, findings)
        if profile is not None:
            _check_transport(at, device, profile, findings)
        checked[device.id] = None
        if profile is not None and place is not None:
            checked[device.id] = CheckedDevice(device.id, device, profile, place)
    return checked


def _check_ports(devices: list[Device], findings: Findings) -> None:
    """A port has one reader; two names of it, as under /dev/serial/by-id, are still one port."""
    owners: dict[str, str] = {}
    for index, device in enumerate(devices):
        if device.serial is None:
            continue
        port = os.path.realpath(findings.beside / device.serial.port)
        if port in owners:
            what = f"the port {port} already belongs to the device '{owners[port]}'"
            findings.problem(("device", index, "serial", "port"), what, "give each device its own port")
        owners.setdefault(port, device.id)


def _place(
    at: KeyPath, device: Device, profile: Profile | None, findings: Findings
) -> SerialPlace | Subscription | None:
    if device.serial is not None and device.mqtt is not None:
        findings.problem(at, f"the device '{device.id}' has both serial and mqtt", "keep one of them")
    elif device.serial is not None:
        return _serial((*at, "serial"), device.serial, profile, findings)
    elif device.mqtt is not None:
        return _subscription((*at, "mqtt"), device.mqtt, findings)
    else:
        findings.problem(
            at, f"the device '{device.id}' has neither serial nor mqtt", "add serial = {...} or mqtt = {...}"
        )
    return None


def _serial(at: KeyPath, serial: SerialPort, profile: Profile | None, findings: Findings) -> SerialPlace:
    baud = serial.baud
    if baud is None:
        baud = profile.baud if profile is not None and profile.baud is not None else _USUAL_BAUD
    if not _SLOWEST_BAUD <= baud <= _FASTEST_BAUD:
        findings.problem((*at, "baud"), f"{baud} is no baud rate", "common ones are 9600, 115200, 921600")
    port = findings.beside / serial.port
    if not serial.port:
        findings.problem((*at, "port"), "the port has no name", "stable names lie in /dev/serial/by-id")
    elif not port.exists():
        findings.warn((*at, "port"), f"there is no {port} now", "plug it in, or take a name from /dev/serial/by-id")
    return SerialPlace(str(port), baud, serial.parity, serial.stop_bits)


def _subscription(at: KeyPath, mqtt: MqttTopic, findings: Findings) -> Subscription | None:
    check_filter((*at, "topic"), mqtt.topic, findings)
    connection = check_connection(at, mqtt, findings)
    return None if connection is None else Subscription(connection, mqtt.topic)


def _profile(at: KeyPath, device: Device, findings: Findings) -> Profile | None:
    path = (*at, "profile")
    try:
        return read_profile(device.profile, findings.beside)
    except ProfileMissing as error:
        findings.problem(path, f"there is no profile '{device.profile}'", nearest(device.profile, error.available))
    except ConfigError as error:
        asked = findings.locate(path)
        findings.problems.extend(
            Problem(p.where, f"{p.what}, in the profile that {asked} asks for", p.remedy) for p in error.problems
        )
    return None


def _check_transport(at: KeyPath, device: Device, profile: Profile, findings: Findings) -> None:
    used = {"serial": device.serial, "mqtt": device.mqtt}
    if all(place is None for place in used.values()) or used[profile.transport] is not None:
        return
    what = f"the profile '{device.profile}' speaks over {profile.transport}"
    findings.problem(at, what, f"write {profile.transport} = {{...}}, or take another profile")

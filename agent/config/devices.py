"""Check the devices: each has a place, a profile that fits it, and a port of its own."""

from __future__ import annotations

from agent.config.checked import CheckedDevice, ModbusPlace, SerialPlace, Subscription
from agent.config.connections import check_connection, check_filter
from agent.config.findings import Findings
from agent.config.modbus_places import Buses
from agent.config.profiles import ProfileMissing, find_profile, read_profile
from agent.config.schema import Device, MqttTopic
from agent.config.serial_places import check_owners, check_serial
from agent.decode.profile import Profile, parse_profile
from agent.errors import ConfigError, Problem
from agent.ports.listing import ListPorts
from agent.toml_structs import KeyPath, nearest


def check_devices(devices: list[Device], findings: Findings, list_ports: ListPorts) -> dict[str, CheckedDevice | None]:
    """Every device by id; None where its place or its profile is not known."""
    findings.ids("device", (device.id for device in devices))
    buses = Buses(check_owners(devices, findings), findings, list_ports)
    checked: dict[str, CheckedDevice | None] = {}
    for index, device in enumerate(devices):
        at = ("device", index)
        profile = check_profile(at, device, findings)
        place = _place(at, device, profile, findings, buses)
        if profile is not None:
            _check_transport(at, device, profile, findings)
            _check_rebirth(at, device, profile, findings)
        checked[device.id] = None
        if profile is not None and place is not None:
            checked[device.id] = CheckedDevice(device.id, device, profile, place)
    return checked


def _place(
    at: KeyPath, device: Device, profile: Profile | None, findings: Findings, buses: Buses
) -> SerialPlace | Subscription | ModbusPlace | None:
    used = _used(device)
    if len(used) > 1:
        findings.problem(at, f"the device '{device.id}' has {' and '.join(used)}", "keep one of them")
    elif device.serial is not None:
        return check_serial((*at, "serial"), device.serial, profile, findings, buses.list_ports)
    elif device.mqtt is not None:
        return _subscription((*at, "mqtt"), device.mqtt, findings)
    elif device.modbus is not None:
        return buses.place((*at, "modbus"), device.id, device.modbus, profile)
    else:
        remedy = "add serial = {...}, mqtt = {...} or modbus = {...}"
        findings.problem(at, f"the device '{device.id}' has neither serial nor mqtt nor modbus", remedy)
    return None


def _used(device: Device) -> list[str]:
    """The transports that the configuration gives the device a place on."""
    return [name for name in ("serial", "mqtt", "modbus") if getattr(device, name) is not None]


def _subscription(at: KeyPath, mqtt: MqttTopic, findings: Findings) -> Subscription | None:
    check_filter((*at, "topic"), mqtt.topic, findings)
    connection = check_connection(at, mqtt, findings)
    return None if connection is None else Subscription(connection, mqtt.topic)


def check_profile(at: KeyPath, device: Device, findings: Findings) -> Profile | None:
    """The profile of a device, or None and its problems noted where it cannot be used."""
    path = (*at, "profile")
    kept = findings.profiles.get(device.profile)
    try:
        if kept is not None:
            return parse_profile(kept, f"the profile '{device.profile}' as it was kept")
        findings.warn_of_writers(path, find_profile(device.profile, findings.beside))
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
    used = _used(device)
    if not used or profile.transport in used:
        return
    what = f"the profile '{device.profile}' speaks over {profile.transport}"
    findings.problem(at, what, f"write {profile.transport} = {{...}}, or take another profile")


def _check_rebirth(at: KeyPath, device: Device, profile: Profile, findings: Findings) -> None:
    if device.mqtt is not None and device.mqtt.request_rebirth and profile.sparkplug is None:
        what = f"the profile '{device.profile}' is no Sparkplug node, which alone has births"
        findings.problem((*at, "mqtt", "request_rebirth"), what, "leave request_rebirth out")

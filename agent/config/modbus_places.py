"""Check the Modbus slaves: those of one bus agree on its line, and each has an address of its own there."""

from __future__ import annotations

import os.path
from collections.abc import Mapping

from agent.config.checked import ModbusPlace, SerialPlace, TcpPlace
from agent.config.findings import Findings
from agent.config.schema import ModbusUnit
from agent.config.serial_places import check_serial
from agent.decode.modbus_plan import plan
from agent.decode.profile import Profile
from agent.ports.listing import ListPorts
from agent.toml_structs import KeyPath

# The standard ends at 247, and factories set 254; 0 is a host's own unit, and a broadcast on a serial line.
_UNITS = {"serial": range(1, 256), "tcp": range(256)}
# Slaves take their time to answer, so a line that is asked for more than this of what it carries never keeps up.
_BUSIEST = 0.7


class Buses:
    """The buses of one configuration; `owners` are the serial devices by their ports, which are no buses."""

    def __init__(self, owners: Mapping[str, str], findings: Findings, list_ports: ListPorts) -> None:
        self._owners = owners
        self._findings = findings
        self.list_ports = list_ports
        self._buses: dict[str, SerialPlace | TcpPlace] = {}
        self._units: dict[tuple[str, int], str] = {}
        self._load: dict[str, float] = {}
        self._pace: dict[str, tuple[float, float]] = {}

    def place(self, at: KeyPath, device: str, modbus: ModbusUnit, profile: Profile | None) -> ModbusPlace | None:
        """Where a device is, on the bus that it shares with others; None where that is not said."""
        findings = self._findings
        on_serial = bool(modbus.port or modbus.usb_serial)
        if on_serial == (modbus.host is not None):
            remedy = 'write port = "/dev/..." for a serial line, or host = "..." for Modbus TCP'
            findings.problem(at, "a Modbus slave is on a serial line or at a host", remedy)
            return None
        kind = "serial" if on_serial else "tcp"
        if modbus.unit not in _UNITS[kind]:
            findings.problem(
                (*at, "unit"), f"{modbus.unit} is no slave's address", "write 1 to 247, as set at the slave"
            )
        name = self._name(modbus)
        bus = self._serial(at, name, modbus, profile) if on_serial else self._tcp(at, modbus)
        self._check_unit((*at, "unit"), name, modbus.unit, device)
        known = self._buses.setdefault(name, bus)
        if profile is not None:
            self._add_load(at, name, known, profile)
            self._add_pace(at, name, profile)
        return ModbusPlace(known, modbus.unit)

    def _name(self, modbus: ModbusUnit) -> str:
        """Two names of a port, as under /dev/serial/by-id, are still one bus."""
        if modbus.host is not None:
            return f"{modbus.host.lower()}:{modbus.tcp_port}"
        return os.path.realpath(self._findings.beside / modbus.port) if modbus.port else f"of {modbus.usb_serial}"

    def _serial(self, at: KeyPath, name: str, modbus: ModbusUnit, profile: Profile | None) -> SerialPlace:
        findings = self._findings
        if name in self._owners:
            what = f"the port {name} already belongs to the device '{self._owners[name]}'"
            findings.problem(at, what, "only Modbus slaves share a port")
        if modbus.baud is None and profile is not None and profile.baud is None:
            findings.problem(at, "the baud rate is not known", "add baud = ...; 9600 and 19200 are common")
        known = self._buses.get(name)
        # What is wrong with a port is told once, for the first of its slaves.
        noted = findings if known is None else Findings(findings.locate, findings.beside)
        place = check_serial(at, modbus, profile, noted, self.list_ports)
        if isinstance(known, SerialPlace) and _line(place) != _line(known):
            what = f"the bus {name} is {_line(known)} for another slave and {_line(place)} for this one"
            findings.problem(at, what, "write the same baud, parity, stop_bits and rs485 for all slaves of a bus")
        return place

    def _tcp(self, at: KeyPath, modbus: ModbusUnit) -> TcpPlace:
        findings, host = self._findings, modbus.host or ""
        if not host or any(map(str.isspace, host)) or "/" in host:
            findings.problem(
                (*at, "host"), f"'{host}' is no host", "write a name or an address, and the port as tcp_port"
            )
        if not 1 <= modbus.tcp_port <= 65_535:
            findings.problem((*at, "tcp_port"), f"{modbus.tcp_port} is no TCP port", "502 is Modbus's own")
        if modbus.baud is not None:
            findings.problem((*at, "baud"), "a host has no baud rate", "leave it out")
        return TcpPlace(host, modbus.tcp_port)

    def _check_unit(self, path: KeyPath, name: str, unit: int, device: str) -> None:
        other = self._units.setdefault((name, unit), device)
        if other != device:
            what = f"the unit {unit} of the bus {name} already is the device '{other}'"
            self._findings.problem(path, what, "give each slave its own address")

    def _add_load(self, at: KeyPath, name: str, bus: SerialPlace | TcpPlace, profile: Profile) -> None:
        if profile.modbus is None or not isinstance(bus, SerialPlace):
            return
        before = self._load.get(name, 0.0)
        load = before + plan(profile.modbus).wire_s(bus.baud, profile.modbus.pause_ms / 1_000) * profile.rate_hz
        self._load[name] = load
        if before <= _BUSIEST < load:
            what = f"from this slave on, the bus {name} is asked for {load:.0%} of what {bus.baud} baud carry"
            self._findings.warn(at, what, "raise the baud rate, lower rate_hz in the profiles, or add a bus")

    def _add_pace(self, at: KeyPath, name: str, profile: Profile) -> None:
        """A dead slave is asked again in the idle time between two turns of the others, so that must be long enough."""
        if profile.modbus is None:
            return
        period_s, timeout_s = 1 / profile.rate_hz, profile.modbus.timeout_ms / 1_000
        if name in self._pace:
            shortest_s, longest_s = self._pace[name]
            if min(period_s, shortest_s) <= max(timeout_s, longest_s) and shortest_s > longest_s:
                what = f"a time-out of {max(timeout_s, longest_s):g} s does not fit between polls every {min(period_s, shortest_s):g} s"
                remedy = "a dead slave then delays the others, if seldom: lower timeout_ms or rate_hz in the profiles"
                self._findings.warn(at, f"on the bus {name} {what}", remedy)
            period_s, timeout_s = min(period_s, shortest_s), max(timeout_s, longest_s)
        self._pace[name] = (period_s, timeout_s)


def _line(place: SerialPlace) -> str:
    parity, rs485 = place.parity[0].upper(), " RS-485" if place.rs485 else ""
    return f"{place.baud} baud 8{parity}{place.stop_bits}{rs485}"

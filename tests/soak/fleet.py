"""Fifty devices on ports, topics and Modbus buses, each with a machine of its own, and the agent's file that watches them all.

Devices that stamp their samples run SPEED times as fast as their profiles say, so that minutes of event time pass in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.infer.keys import public_pem
from tests.harness import small_plant
from tests.harness.agent_folder import KEY, contract, energy_bundle
from tests.soak.plan import Kind, Subject

AGENT = "soak"
DISK = "disk"  # a small one, with the state folder on it
SPEED = 5
RATE_HZ = 10.0
POLL_HZ = 5.0
NORMAL, FAULT = 1.0, 4.0  # the model's score is their square
FAULT_NS = 8_000_000_000  # of event time: five windows, or of a slave seven
BUSES = 2
OUTBOX_BYTES = 1024 * 1024

_SERIAL = {"cobs": 10, "slip": 6, "lines": 8}
_MQTT = {"json": 12, "binary": 6}
_SLAVES = 8

_HEAD = """
maker = "Soak"
model = "{name}"
source = "this soak"
transport = "{transport}"
rate_hz = {rate_hz}
silent_after_s = 3.0
"""
_TWO_CHANNELS = 'channel = [{ name = "x", unit = "[g]" }, { name = "y", unit = "[g]" }]\n'
_STAMPED = 'time = { kind = "device", field = "t", unit = "ns" }\nsequence = { field = "n", bits = 32 }\n'
_RECORD = """
[binary]
fields = [
  { name = "n", type = "u32" }, { name = "t", type = "i64" }, { name = "x", type = "f32" }, { name = "y", type = "f32" }
]
"""
_FRAMED = 'framing = {{ kind = "{kind}", max_frame_bytes = 64 }}\nchecksum = {{ name = "crc16-modbus" }}\n'
_MESSAGE = 'framing = { kind = "message" }\n'

PROFILES = {
    "cobs": ("serial", _FRAMED.format(kind="cobs") + _STAMPED + _TWO_CHANNELS + _RECORD),
    "slip": ("serial", _FRAMED.format(kind="slip") + _STAMPED + _TWO_CHANNELS + _RECORD),
    "lines": (
        "serial",
        'framing = { kind = "lines", max_frame_bytes = 120 }\nchecksum = { name = "xor8", encoding = "hex", start = "$" }\n'
        + _STAMPED
        + _TWO_CHANNELS
        + '[csv]\ncolumns = ["n", "t", "x", "y"]\n',
    ),
    "json": (
        "mqtt",
        _MESSAGE + _STAMPED + _TWO_CHANNELS + '[json]\nfields = { n = "n", t = "t", x = "v[0]", y = "v[1]" }\n',
    ),
    "binary": (
        "mqtt",
        _MESSAGE + 'checksum = { name = "crc16-modbus" }\n' + _STAMPED + _TWO_CHANNELS + _RECORD,
    ),
    "slave": (
        "modbus",
        _MESSAGE
        + 'time = { kind = "arrival" }\nchannel = [{ name = "current", unit = "A" }]\n'
        + '[modbus]\ntimeout_ms = 100.0\nregisters = [{ name = "current", table = "input", address = 100, type = "f32" }]\n',
    ),
}
_AGENT = f"""
[agent]
id = "{AGENT}"
state = "{DISK}/state"
health_every = "5s"
[upstream]
broker = "{{upstream}}"
keepalive = "5s"
[trust]
keys = ["release.pub"]
[outbox]
max_bytes = {OUTBOX_BYTES}
[commands]
mqtt = ["alarms.*", "health.get", "config.get", "commands.list"]
"""


@dataclass(frozen=True, slots=True)
class Node:
    """One device of the fleet; `number` counts those of its profile, and `bus` says which one a slave hangs on."""

    name: str
    profile: str
    number: int

    @property
    def serial(self) -> bool:
        return self.profile in _SERIAL

    @property
    def stamped(self) -> bool:
        """Whether it says itself when its samples were taken."""
        return self.profile != "slave"

    @property
    def machine(self) -> str:
        return f"m-{self.name}"

    @property
    def topic(self) -> str:
        return f"site/{self.name}"

    @property
    def bus(self) -> str:
        return f"bus-{self.number % BUSES}"

    @property
    def unit(self) -> int:
        """Its Modbus address."""
        return 1 + self.number // BUSES


NODES = tuple(
    Node(f"{profile}-{number:02d}", profile, number)
    for profile, count in {**_SERIAL, **_MQTT, "slave": _SLAVES}.items()
    for number in range(count)
)


def subjects() -> list[Subject]:
    """The devices and their buses, as the plan takes them."""
    found = [Subject(node.name, _befalls(node), _fault_s(node)) for node in NODES]
    return found + [Subject(f"bus-{number}", (Kind.UNPLUGGED,), 0.0) for number in range(BUSES)]


def write(folder: Path, site: str, upstream: str, buses: Sequence[int]) -> Path:
    """Everything that `stethos run` reads, with the devices' broker, the alarms' and the TCP ports of the buses; returns the agent's file."""
    profiles = folder / "firmware_configs"
    profiles.mkdir()
    for name, (transport, text) in PROFILES.items():
        head = _HEAD.format(name=name, transport=transport, rate_hz=POLL_HZ if name == "slave" else RATE_HZ)
        (profiles / f"{name}.toml").write_text(head + text)
    (folder / "accel.stethos").write_bytes(energy_bundle(contract(("x", "[g]"), ("y", "[g]"), rate_hz=RATE_HZ)))
    current = contract(("current", "A"), rate_hz=POLL_HZ, hold_cells=3)
    (folder / "current.stethos").write_bytes(energy_bundle(current))
    (folder / "release.pub").write_bytes(public_pem(KEY.public_key()))
    tables = [_AGENT.format(upstream=upstream)]
    for node in NODES:
        tables.append(small_plant.device(node.name, node.profile, _place(node, site, buses)))
        channels = [f"{node.name}.{name}" for name in (("x", "y") if node.stamped else ("current",))]
        bundle = "accel.stethos" if node.stamped else "current.stethos"
        tables.append(small_plant.machine(node.machine, bundle, channels, 'summary_every = "60s"'))
    config = folder / "agent.toml"
    config.write_text("".join(tables))
    return config


def _place(node: Node, site: str, buses: Sequence[int]) -> str:
    if node.serial:
        return f'serial = {{ port = "tty-{node.name}" }}'
    if node.stamped:
        return f'mqtt = {{ broker = "{site}", topic = "{node.topic}" }}'
    port = buses[node.number % BUSES]
    return f'modbus = {{ host = "127.0.0.1", tcp_port = {port}, unit = {node.unit} }}'


def _befalls(node: Node) -> tuple[Kind, ...]:
    if node.serial:
        return (Kind.UNPLUGGED, Kind.SILENT, Kind.NOISE)
    return (Kind.SILENT, Kind.NOISE) if node.stamped else (Kind.SILENT,)


def _fault_s(node: Node) -> float:
    """How long a fault lasts by the clock of the run."""
    return FAULT_NS / 1e9 / SPEED if node.stamped else 3 * FAULT_NS / 1e9

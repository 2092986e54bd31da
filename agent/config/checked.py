"""The configuration as the daemon uses it: every file read, every text parsed, every model proven."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from agent.config.broker import Broker
from agent.config.schema import Config, Device, Machine
from agent.decode.profile import Profile
from agent.errors import Problem
from agent.infer.bundle import Bundle
from agent.infer.session import Session
from agent.ports.identity import Identity


@dataclass(frozen=True, slots=True)
class Connection:
    """How a broker is reached and logged in to; equal ones can share a client."""

    broker: Broker
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic filter on a broker."""

    connection: Connection
    topic: str


@dataclass(frozen=True, slots=True)
class SerialPlace:
    """A serial port and the settings of its line; without a port it is where the device `identity` is."""

    port: str | None
    baud: int
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1
    identity: Identity | None = None
    rs485: bool = False

    @property
    def name(self) -> str:
        """For logs and people."""
        return self.port or str(self.identity)


@dataclass(frozen=True, slots=True)
class TcpPlace:
    """A host that speaks Modbus TCP."""

    host: str
    port: int

    @property
    def name(self) -> str:
        """For logs and people."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ModbusPlace:
    """A Modbus slave: the bus that it shares with others, and its address there."""

    bus: SerialPlace | TcpPlace
    unit: int


@dataclass(frozen=True, slots=True)
class CheckedDevice:
    """A device with its profile; its place is a serial port, with the baud rate to use, a subscription, or a unit on a bus."""

    id: str
    config: Device
    profile: Profile
    place: SerialPlace | Subscription | ModbusPlace


class ChannelRef(NamedTuple):
    """One channel of one device; `column` is its place in the device's batches."""

    device: str
    channel: str
    column: int


@dataclass(frozen=True, slots=True)
class CheckedMachine:
    """A machine with the proven model that watches it; `channels` are in the order of the model's contract."""

    id: str
    config: Machine
    bundle: Bundle
    session: Session
    channels: tuple[ChannelRef, ...]
    false_alarms_per_hour: float
    on_delay_ns: int
    off_delay_ns: int
    summary_every_ns: int

    @property
    def feeds(self) -> dict[str, list[tuple[int, int]]]:
        """By device: (column of its batch, row of the model's input)."""
        feeds: dict[str, list[tuple[int, int]]] = {}
        for row, ref in enumerate(self.channels):
            feeds.setdefault(ref.device, []).append((ref.column, row))
        return feeds


@dataclass(frozen=True, slots=True)
class Checked:
    """Everything the composition root needs, with nothing left to parse. Machines of one bundle file share its session."""

    config: Config
    path: Path
    state: Path
    record: Path | None  # the folder of the recording, None where nothing is recorded
    metrics: Path | None  # the file for node_exporter, None where none is written
    devices: Mapping[str, CheckedDevice]
    machines: Mapping[str, CheckedMachine]
    upstream: Connection
    health_every_ns: int
    deadline_ns: int
    keepalive_s: int
    warnings: tuple[Problem, ...]

"""The configuration as the daemon uses it: every file read, every text parsed, every model proven."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.bundles.comparison import Promotion
from agent.bundles.probation import Bounds
from agent.config.broker import Broker
from agent.config.schema import Config, Device, Machine, Response, Rule
from agent.decide.alarm import Priority
from agent.decide.baseline import Baseline
from agent.decide.calibration import Calibration
from agent.decide.commissioning import Commissioning
from agent.decide.expression import Expression
from agent.decide.responses import ResponseRules
from agent.decide.rules import Limit
from agent.decode.profile import Profile
from agent.errors import Problem
from agent.infer.bundle import Bundle
from agent.infer.settings import InferenceSettings
from agent.infer.slot import ScorerSlot
from agent.ports.identity import Identity
from agent.trust.memory import Memory
from agent.trust.policy import Trust


@dataclass(frozen=True, slots=True)
class CheckedTrust:
    """Whose bundles may run here and which, and what this box remembered of releases and roots when that was checked."""

    trust: Trust
    memory: Memory


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
class CheckedRule:
    """One limit of a rule; `point` is NAME.SIDE."""

    point: str
    config: Rule
    expression: Expression
    limit: Limit
    on_delay_ns: int
    off_delay_ns: int
    suppress_when: Expression | None

    @property
    def priority(self) -> Priority:
        """What was chosen, or what the limit's side says of its urgency."""
        outer = self.limit.side in {"high_high", "low_low"}
        return self.config.priority or ("high" if outer else "medium")


@dataclass(frozen=True, slots=True)
class CheckedBundles:
    """How bundles are exchanged while the agent runs. A latency of 0 in `probation` means that it follows from the model."""

    inbox: Path | None  # None where no folder is looked at
    arrival: Literal["install", "shadow", "activate"]
    promotion: Promotion | None  # None where a candidate is promoted by command alone
    probation: Bounds


@dataclass(frozen=True, slots=True)
class Commissioned:
    """What was learnt on this box, with the hash of its file."""

    what: Commissioning
    sha256: str


@dataclass(frozen=True, slots=True)
class CheckedMachine:
    """A machine with the proven model that watches it; `channels` are in the order of the model's contract."""

    id: str
    config: Machine
    bundle: Bundle
    session: ScorerSlot
    channels: tuple[ChannelRef, ...]
    false_alarms_per_hour: float
    on_delay_ns: int
    off_delay_ns: int
    summary_every_ns: int
    suppress_when: Expression | None
    rules: tuple[CheckedRule, ...]
    states: tuple[tuple[str, Expression], ...] = ()  # by name, the condition under which the machine is in it
    commissioned: Commissioned | None = (
        None  # what was learnt on this box; the bundle's own word where there is nothing
    )
    refused: str | None = None  # why what was learnt here is not used
    stands_in_for: str | None = None  # why the bundle is not the active one of the store, but the one before
    actions: Mapping[str, str] = field(default_factory=dict)  # by DEVICE.CHANNEL, what its profile advises

    @property
    def calibration(self) -> Calibration:
        """What its scores are judged by."""
        manifest = self.bundle.manifest
        return manifest.calibration if self.commissioned is None else self.commissioned.what.calibration

    @property
    def adapts(self) -> bool:
        """Whether what was learnt on this box may follow a slow change."""
        return self.config.adapt and self.commissioned is not None

    @property
    def calibrations(self) -> Mapping[str, Calibration]:
        """Those of operating states that have their own."""
        states = self.bundle.manifest.states
        if self.commissioned is not None:
            return self.commissioned.what.calibrations
        return states.calibrations if states is not None and not self.states else {}

    @property
    def baseline(self) -> Baseline | None:
        """What its channels, as they are read, are like in normal operation."""
        return self.bundle.manifest.baseline if self.commissioned is None else self.commissioned.what.baseline

    @property
    def channel_usual(self) -> list[float]:
        """The usual score of each channel."""
        manifest = self.bundle.manifest
        return manifest.channel_usual if self.commissioned is None else self.commissioned.what.channel_usual

    @property
    def judged_by(self) -> str:
        """Names the model and what its scores are judged by; counts of another are of no use."""
        return self.bundle.digest if self.commissioned is None else f"{self.bundle.digest}/{self.commissioned.sha256}"

    @property
    def feeds(self) -> dict[str, list[tuple[int, int]]]:
        """By device: (column of its batch, row of the model's input)."""
        feeds: dict[str, list[tuple[int, int]]] = {}
        for row, ref in enumerate(self.channels):
            feeds.setdefault(ref.device, []).append((ref.column, row))
        return feeds


@dataclass(frozen=True, slots=True)
class CheckedCommands:
    """Which commands MQTT may carry, whose signatures the changing ones need, and where the local socket lies."""

    mqtt: tuple[str, ...]
    keys: tuple[Ed25519PublicKey, ...]
    socket: Path


@dataclass(frozen=True, slots=True)
class CheckedResponse:
    """What an alarm may do by itself; `folder` is that of the programs, None where none may be started."""

    rules: ResponseRules
    config: Response
    timeout_s: float
    folder: Path | None


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
    trust: CheckedTrust
    bundles: CheckedBundles
    commands: CheckedCommands
    responses: tuple[CheckedResponse, ...]
    health_every_ns: int
    well_after_ns: int
    inference: InferenceSettings
    keepalive_s: int
    warnings: tuple[Problem, ...]

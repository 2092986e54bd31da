"""The agent's TOML file as typed structs: every section, key, default and unit that an operator can write."""

from __future__ import annotations

from typing import Literal

import msgspec

from agent.commands.catalogue import READING
from agent.infer.settings import Device as InferenceDevice


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the file; a key that is not named here is an error, which `agent.toml_structs` finds."""


class Secret(Section, frozen=True, kw_only=True):
    """Where a secret is read from, never the secret itself: exactly one of the two is set."""

    credential: str | None = None  # a name in systemd's $CREDENTIALS_DIRECTORY
    file: str | None = None  # a file that only its owner may read


class Agent(Section, frozen=True, kw_only=True):
    """Who this box is."""

    id: str
    state: str = "/var/lib/stethos"  # folder for the outbox and the alarm states
    health_every: str = "30s"
    well_after: str = "1m"  # a configuration that has run well for this long is what the agent falls back to


class SerialPort(Section, frozen=True, kw_only=True):
    """A serial line; exactly one device owns a port.

    A USB device is bound by its serial number: with usb_serial the port may be left out, and is found wherever the device is.
    """

    port: str | None = None
    usb_serial: str | None = None  # as `stethos ports` shows it
    vid_pid: str | None = None  # four hex digits each, as in 0403:6001
    baud: int | None = None  # the profile's where absent
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1
    rs485: bool = False  # the driver of the port raises RTS while it sends


class MqttTopic(Section, frozen=True, kw_only=True):
    """A topic filter on a broker; devices on the same broker with the same login share one connection."""

    broker: str  # mqtt://host:1883 or mqtts://host:8883
    topic: str
    ca: str | None = None
    username: str | None = None
    password: Secret | None = None
    allow_plaintext: bool = False  # mqtt:// beyond this machine: anyone between can read and forge the samples
    request_rebirth: bool = False  # tell a Sparkplug node that was born before us to be born anew; else we only listen


class ModbusUnit(SerialPort, frozen=True, kw_only=True):
    """A Modbus slave; those with the same serial line or the same host share a bus."""

    host: str | None = None  # for Modbus TCP, in the place of a serial line
    tcp_port: int = 502
    unit: int = 1  # its address on the bus


class Device(Section, frozen=True, kw_only=True):
    """One sensor node, spoken to as its firmware profile says; exactly one of serial, mqtt and modbus is set."""

    id: str
    profile: str  # the name of a file in firmware_configs, or a path to a profile
    serial: SerialPort | None = None
    mqtt: MqttTopic | None = None
    modbus: ModbusUnit | None = None


class Rule(Section, frozen=True, kw_only=True):
    """A value made of the machine's channels, held against one or several limits; each is an alarm point of its own, NAME.SIDE."""

    name: str
    of: str  # DEVICE.CHANNEL, or an expression: "band([accel-7.x], 118, 122)"
    unit: str = "1"  # UCUM
    high_high: float | None = None
    high: float | None = None
    low: float | None = None
    low_low: float | None = None
    deadband: float = 0.0  # the alarm clears where the value is back by this
    priority: Literal["critical", "high", "medium", "low"] | None = None  # high for high_high and low_low, else medium
    on_delay: str = "0s"
    off_delay: str = "0s"
    count: tuple[int, int] = (1, 1)  # [m, n]: m of the last n windows must be beyond the limit
    suppress_when: str | None = None  # an expression: "[drive.speed] < 10"
    guidance: str = ""  # what to do about it


class OperatingState(Section, frozen=True, kw_only=True):
    """Something that the machine does, and how its channels tell; of several that hold the first counts."""

    name: str
    when: str  # an expression that holds throughout a window: "[drive.speed] < 10"


class MqttResponse(Section, frozen=True, kw_only=True):
    """A message on the upstream's broker."""

    topic: str
    payload: str | None = None  # the alarm as JSON where absent


class SerialResponse(Section, frozen=True, kw_only=True):
    """A command of a device's profile, over the device's serial line."""

    device: str
    command: str


class ProgramResponse(Section, frozen=True, kw_only=True):
    """A program of the folder in [responses], started without a shell, with the alarm as JSON on its standard input."""

    file: str
    arguments: list[str] = []


class Response(Section, frozen=True, kw_only=True):
    """What an alarm does by itself: exactly one of mqtt, serial and program, behind interlocks."""

    name: str
    on: Literal["raised", "cleared"] = "raised"
    points: list[str] = msgspec.field(default_factory=lambda: ["*"])  # alarm points: model, RULE.SIDE, * for anything
    least: Literal["critical", "high", "medium", "low"] = "low"  # the lowest priority that it is done for
    armed: bool = False  # nothing is done before this is said
    dry_run: bool = False  # all but the doing
    confirm: str = "0s"  # how long the alarm must go on before it is done
    min_interval: str = "1m"  # it is done at most once in this time
    timeout: str = "5s"
    mqtt: MqttResponse | None = None
    serial: SerialResponse | None = None
    program: ProgramResponse | None = None


class Responses(Section, frozen=True, kw_only=True):
    """What responses may use."""

    programs: str | None = None  # the folder of programs that may be started; none may where absent


class Machine(Section, frozen=True, kw_only=True):
    """What is monitored: channels of devices, the model that knows them, and how often it may be wrong."""

    id: str
    bundle: str  # a name in the store, or the path of a file
    channels: list[str]  # DEVICE.CHANNEL, in the order of the bundle's contract
    false_alarms: str = "1 per month"
    priority: Literal["critical", "high", "medium", "low"] = "high"
    group: str | None = (
        None  # machines whose alarms follow from each other: the first alarm among them is marked first_out
    )
    on_delay: str = "0s"  # a deviation must last this long (event time) before it is an alarm
    off_delay: str = "0s"  # and be gone this long before the alarm ends
    clear_factor: float = 10.0  # hysteresis: the alarm ends where the exceedance rate is above budget times this
    acknowledge: bool = True  # an alarm ends only when somebody has acknowledged it
    latch: bool = False  # and, once the machine is normal again, has reset it
    count: tuple[int, int] = (1, 1)  # [m, n]: m of the last n windows must deviate
    suppress_when: str | None = None  # the model's alarm means nothing while this holds: "[drive.speed] < 10"
    guidance: str = ""  # what to do when the model raises an alarm
    rule: list[Rule] = []
    response: list[Response] = []
    adapt: bool = False  # what was commissioned follows a slow change of normal operation, within bounds
    state: list[OperatingState] = []  # in place of those that the bundle found in training
    summary_every: str = "1h"


class Inference(Section, frozen=True, kw_only=True):
    """Where models run."""

    device: InferenceDevice = "auto"
    required: bool = False  # refuse to run degraded on the CPU
    threads: int = 1
    deadline: str = "10s"
    isolate: bool = False  # in a process of its own, so that a model that crashes takes nothing with it


class Trust(Section, frozen=True, kw_only=True):
    """Whose bundles may run, and which: either files of Ed25519 public keys (PEM), or a root file that says which keys sign."""

    keys: list[str] = []
    threshold: int | None = None  # how many of the keys must have signed a bundle; 1 where absent
    root: str | None = None
    device_class: str | None = None  # what kind of box this is, for bundles that are not for every kind
    allow: list[str] = []  # names or patterns of bundles, or sha256:HEX of their files; any where empty
    max_bytes: int = 256 * 1024 * 1024  # of a bundle's file
    decryption_key: Secret | None = None  # 64 hex digits, for bundles that are encrypted


class Probation(Section, frozen=True, kw_only=True):
    """What a bundle must keep once it runs; else the one before runs again."""

    lasts: str = "1h"
    windows: int = 100  # and so many at least must have been scored
    starts: int = 3  # runs of the agent that ended without a stop
    alarms: int = 5  # that the model raises, all machines together
    latency: str | None = None  # median for one window; a quarter of the time that there is for it where absent


class Promote(Section, frozen=True, kw_only=True):
    """What a candidate in the shadow must keep to be activated without anybody's word."""

    windows: int = 10_000
    agreement: float = 0.999  # of decisions, alarm or no alarm
    correlation: float = 0.5  # of the scores as normal deviates of their own calibrations
    alarms: float = 1.0  # times those of the bundle that runs, and one
    latency: float = 2.0  # times that of the bundle that runs


class Bundles(Section, frozen=True, kw_only=True):
    """How bundles of the store are exchanged while the agent runs."""

    inbox: str | None = None  # a folder that bundles may be dropped into; none where absent
    arrival: Literal["install", "shadow", "activate"] = "activate"  # what becomes of one that is dropped there
    promote: Promote | None = None  # by command alone where absent
    probation: Probation = Probation()


class Outbox(Section, frozen=True, kw_only=True):
    """How much may wait on disk for the broker."""

    max_bytes: int = 64 * 1024 * 1024
    journal_records: int = 50_000  # of the audit journal, some 500 bytes each; the oldest go first


class Commands(Section, frozen=True, kw_only=True):
    """What may be asked of the running agent, and by whom; the local socket takes every command of whoever may open it."""

    mqtt: list[str] = msgspec.field(
        default_factory=lambda: list(READING)
    )  # names, "alarms.*" too; else what only reads
    keys: list[
        str
    ] = []  # files of Ed25519 public keys (PEM); where there are any, what changes something must be signed
    socket: str | None = None  # control.sock in the state folder where absent
    # What a configuration from the network may change beside devices, machines and brokers; agent is its id and state folder.
    remote_changes: list[Literal["agent", "commands", "trust", "responses"]] = []


class Record(Section, frozen=True, kw_only=True):
    """A ring of the raw bytes that devices sent, for `stethos replay`."""

    folder: str
    max_bytes: int = 1024 * 1024 * 1024  # the oldest go first


class Metrics(Section, frozen=True, kw_only=True):
    """Counters and states for Prometheus; nothing listens."""

    textfile: str  # NAME.prom in the folder of node_exporter's textfile collector, replaced every health_every


class Upstream(Section, frozen=True, kw_only=True):
    """The broker that alarms go to."""

    broker: str
    base: str = "stethos"
    ca: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    username: str | None = None
    password: Secret | None = None
    allow_plaintext: bool = False  # mqtt:// beyond this machine sends alarms and passwords readable by anyone between
    keepalive: str = "20s"


class HomeAssistant(Section, frozen=True, kw_only=True):
    """Whether the agent and its machines announce themselves to Home Assistant, on the upstream's broker."""

    discovery: bool = False
    prefix: str = "homeassistant"


class Config(Section, frozen=True, kw_only=True):
    """The whole file."""

    agent: Agent
    upstream: Upstream
    trust: Trust
    device: list[Device]
    machine: list[Machine]
    inference: Inference = Inference()
    bundles: Bundles = Bundles()
    outbox: Outbox = Outbox()
    commands: Commands = Commands()
    record: Record | None = None  # nothing is recorded where absent
    homeassistant: HomeAssistant = HomeAssistant()
    responses: Responses = Responses()
    metrics: Metrics | None = None  # no file is written where absent

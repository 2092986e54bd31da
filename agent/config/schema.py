"""The agent's TOML file as typed structs: every section, key, default and unit that an operator can write."""

from __future__ import annotations

from typing import Literal

import msgspec


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


class Machine(Section, frozen=True, kw_only=True):
    """What is monitored: channels of devices, the model that knows them, and how often it may be wrong."""

    id: str
    bundle: str
    channels: list[str]  # DEVICE.CHANNEL, in the order of the bundle's contract
    false_alarms: str = "1 per month"
    priority: Literal["critical", "high", "medium", "low"] = "high"
    on_delay: str = "0s"  # a deviation must last this long (event time) before it is an alarm
    off_delay: str = "0s"  # and be gone this long before the alarm ends
    clear_factor: float = 10.0  # hysteresis: the alarm ends where the exceedance rate is above budget times this
    summary_every: str = "1h"


class Inference(Section, frozen=True, kw_only=True):
    """Where models run."""

    device: Literal["auto", "cpu", "cuda", "tensorrt"] = "auto"
    required: bool = False  # refuse to run degraded on the CPU
    threads: int = 1
    deadline: str = "10s"


class Trust(Section, frozen=True, kw_only=True):
    """Whose bundles may run: files of Ed25519 public keys (PEM)."""

    keys: list[str]


class Outbox(Section, frozen=True, kw_only=True):
    """How much may wait on disk for the broker."""

    max_bytes: int = 64 * 1024 * 1024


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


class Config(Section, frozen=True, kw_only=True):
    """The whole file."""

    agent: Agent
    upstream: Upstream
    trust: Trust
    device: list[Device]
    machine: list[Machine]
    inference: Inference = Inference()
    outbox: Outbox = Outbox()
    record: Record | None = None  # nothing is recorded where absent
    metrics: Metrics | None = None  # no file is written where absent

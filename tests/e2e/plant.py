"""A small plant for whole-daemon tests: a serial pump on a pty, an MQTT drive, a broker, and the real daemon beside them.

Both devices stamp their samples, so that minutes of event time pass in a second. Their model's score is the mean square
of the strangest channel: 1 for the normal noise, 16 for a fault four times as loud.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import paho.mqtt.client as mqtt
from click.testing import Result
from paho.mqtt.enums import CallbackAPIVersion

from agent.control.client import connected
from agent.decode.encode import Encoder
from agent.decode.profile import parse_profile
from agent.errors import LinkError
from tests.harness import small_plant
from tests.harness.agent_folder import contract, energy_bundle
from tests.harness.broker import PATIENCE_S, Broker, Received, Subscriber, wait_until
from tests.harness.command_line import stethos
from tests.harness.daemon import Daemon
from tests.harness.pty_device import PtyDevice

RATE_HZ = 100
STEP_NS = 1_000_000_000 // RATE_HZ
START_NS = 1_760_000_000_000_000_000
NORMAL, FAULT = 1.0, 4.0
_SUBSCRIBED = "Sending SUBACK to stethos-line-3-in-0"  # as mosquitto logs it

HEAD = """
maker = "Test"
model = "{model}"
source = "this test"
transport = "{transport}"
rate_hz = 100.0
silent_after_s = 1.5
time = {{ kind = "device", field = "t", unit = "ns" }}
"""

ACCEL = (
    HEAD.format(model="accel", transport="serial")
    + """
framing = { kind = "cobs", max_frame_bytes = 64 }
checksum = { name = "crc16-modbus" }
sequence = { field = "n" }
channel = [
  { name = "x", unit = "[g]", resolution = 1e-6, noise = 1.0, action = "Tighten the probe." },
  { name = "y", unit = "[g]", resolution = 1e-6, noise = 1.0 },
]
[binary]
fields = [
  { name = "n", type = "u16" }, { name = "t", type = "i64" }, { name = "x", type = "f32" }, { name = "y", type = "f32" }
]
"""
)

DRIVE = (
    HEAD.format(model="drive", transport="mqtt")
    + """
framing = { kind = "message" }
channel = [{ name = "current", unit = "A" }]
json = { fields = { t = "t", current = "motor.current" } }
"""
)


class Plant:
    """Everything but the daemon runs from `with` on; `daemon.start()` is the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = Broker(folder)
        self.port = PtyDevice(folder / "ttyACCEL")
        self.daemon = Daemon(folder / "agent.toml")
        self.sent = {"accel": 0, "drive": 0}
        self._random = np.random.default_rng(11)
        self._clock_ns = {"accel": START_NS, "drive": START_NS}
        self._accel = Encoder(parse_profile(ACCEL, "accel.toml"))
        self._drive = Encoder(parse_profile(DRIVE, "drive.toml"))
        profiles = folder / "firmware_configs"
        profiles.mkdir()
        (profiles / "accel.toml").write_text(ACCEL)
        (profiles / "drive.toml").write_text(DRIVE)
        (folder / "pump.stethos").write_bytes(energy_bundle(contract(("x", "[g]"), ("y", "[g]"))))
        (folder / "motor.stethos").write_bytes(energy_bundle(contract(("current", "A"))))
        self.write_config(self.broker.port)

    def __enter__(self) -> Self:
        self.broker.start()
        self.port.plug()
        return self

    def __exit__(self, *_: object) -> None:
        self.daemon.kill()
        self.broker.kill()

    def start(self, consumer: Subscriber) -> None:
        """Start the daemon, and return once it hears both devices: what they said before is lost, and missing in the books."""
        known = latest(consumer, "device/accel/health")
        subscribed = self.broker.log().count(_SUBSCRIBED)
        self.daemon.start()
        wait_until(
            lambda: (
                (health := latest(consumer, "device/accel/health")) is not None
                and (known is None or health["boot_id"] != known["boot_id"])
                and bool(health["link"]["opened"])
            ),
            PATIENCE_S,
            "an open port",
        )
        wait_until(lambda: self.broker.log().count(_SUBSCRIBED) > subscribed, PATIENCE_S, "the drive's subscription")

    def stethos(self, *arguments: str) -> Result:
        """What the program says with this plant's file: of the running agent, once that listens, where there is one."""
        if self.daemon.running:
            wait_until(self._listens, PATIENCE_S, "the agent's local socket")
        return stethos(*arguments, "--config", self.daemon.config)

    def _listens(self) -> bool:
        with contextlib.suppress(LinkError), connected(self.folder / "state" / "control.sock"):
            return True
        return False

    def write_config(self, upstream_port: int) -> None:
        """The agent's file; its upstream may be reached through a cable that a test can cut."""
        place = f'mqtt = {{ broker = "{self.broker.url}", topic = "plant/drive" }}'
        summary = 'summary_every = "10s"'
        small_plant.write(
            self.folder,
            f"mqtt://127.0.0.1:{upstream_port}",
            small_plant.device("accel", "accel", f'serial = {{ port = "{self.port.path}" }}'),
            small_plant.device("drive", "drive", place),
            small_plant.machine("pump", "pump.stethos", ["accel.x", "accel.y"], summary),
            small_plant.machine("motor", "motor.stethos", ["drive.current"], summary),
        )

    def consumer(self) -> Subscriber:
        return Subscriber(self.broker.host, self.broker.port, "stethos/#")

    def accel_bytes(self, seconds: float, level: float = NORMAL) -> bytes:
        """What the accelerometer says in this time."""
        return b"".join(self.accel_frames(self.noise(seconds, 2) * [level, 1]))

    def accel_frames(self, readings: npt.NDArray[np.float64]) -> list[bytes]:
        """The next frames of the accelerometer, with these readings [n, 2]."""
        return [self._accel.frame([x, y], self._tick("accel")) for x, y in readings]

    def noise(self, seconds: float, channels: int) -> npt.NDArray[np.float64]:
        """What sound sensors read in this time when nothing is wrong, [n, channels]."""
        return self._random.standard_normal((round(seconds * RATE_HZ), channels))

    def skip_to(self, t_ns: int) -> None:
        """The accelerometer's clock goes on to `t_ns` without a sample."""
        self._clock_ns["accel"] = t_ns

    def accel(self, seconds: float, level: float = NORMAL) -> None:
        self.port.write(self.accel_bytes(seconds, level))

    def drive(self, seconds: float, level: float = NORMAL) -> None:
        self.drive_readings(level * self.noise(seconds, 1)[:, 0])

    def drive_readings(self, readings: npt.NDArray[np.float64]) -> None:
        """Publish one message a reading, at QoS 1, and wait until the broker has them."""
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.connect(self.broker.host, self.broker.port)
        client.loop_start()
        for value in readings.tolist():
            receipt = client.publish("plant/drive", self._drive.frame([value], self._tick("drive")), qos=1)
        receipt.wait_for_publish(60)
        assert receipt.is_published(), "the broker did not take the drive's messages"
        client.disconnect()
        client.loop_stop()

    def _tick(self, device: str) -> int:
        self._clock_ns[device] += STEP_NS
        self.sent[device] += 1
        return self._clock_ns[device]


def events(messages: list[Received], machine: str) -> list[dict[str, Any]]:
    """The alarm events of a machine, in the order of arrival, without repeats of one key."""
    bodies = [
        json.loads(message.payload)
        for message in messages
        if message.topic == f"stethos/line-3/machine/{machine}/alarm"
    ]
    return list({body["key"]: body for body in bodies}.values())


def types(messages: list[Received], machine: str) -> list[str]:
    """new, update, end ... of a machine; updates left out."""
    return [event["type"] for event in events(messages, machine) if event["type"] != "update"]


def latest(consumer: Subscriber, topic: str) -> Any:
    """The newest JSON on a topic; None where there is none yet."""
    payloads = consumer.payloads(f"stethos/line-3/{topic}")
    return json.loads(payloads[-1]) if payloads else None


def wait_health(
    consumer: Subscriber, condition: Any, timeout_s: float = PATIENCE_S, topic: str = "health"
) -> dict[str, Any]:
    """The agent's health, or a device's on its `topic`, that `condition(health)` holds for."""
    found: list[dict[str, Any]] = []

    def holds() -> bool:
        health = latest(consumer, topic)
        if health is None or not condition(health):
            return False
        found.append(health)
        return True

    wait_until(holds, timeout_s, "the health awaited")
    return found[0]

"""An industrial box in namespaces: a booted Debian with the package installed, its own mosquitto, a sensor on a serial port and one on the broker.

Both sensors stamp their samples, so that minutes of event time pass in a second; see tests/e2e/plant.py for their model.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from agent.decode.encode import Encoder
from agent.decode.profile import parse_profile
from agent.infer.keys import public_pem
from tests.e2e.plant import ACCEL, DRIVE, FAULT, NORMAL, RATE_HZ, START_NS, STEP_NS
from tests.harness.agent_folder import KEY, contract, energy_bundle
from tests.harness.booted_system import BootedSystem, PortInside
from tests.harness.broker import Received, Subscriber, wait_until

PORT = "ttyPLANT"
AGENT = """\
[agent]
id = "box"
health_every = "1s"
[upstream]
broker = "mqtt://127.0.0.1"
[trust]
keys = ["release.pub"]
[[device]]
id = "accel"
profile = "accel"
serial = { port = "/dev/ttyPLANT" }
[[device]]
id = "drive"
profile = "drive"
mqtt = { broker = "mqtt://127.0.0.1", topic = "plant/drive" }
[[machine]]
id = "pump"
bundle = "pump.stethos"
channels = ["accel.x", "accel.y"]
false_alarms = "1 per week"
[[machine]]
id = "motor"
bundle = "motor.stethos"
channels = ["drive.current"]
false_alarms = "1 per week"
"""


class Box:
    """From `with` on it is booted and nothing is installed."""

    def __init__(self, folder: Path) -> None:
        self.system = BootedSystem(folder)
        self._random = np.random.default_rng(11)
        self._clock_ns = START_NS
        self._accel = Encoder(parse_profile(ACCEL, "accel.toml"))
        self._drive = Encoder(parse_profile(DRIVE, "drive.toml"))
        self._port: PortInside | None = None

    def __enter__(self) -> Self:
        self.system.boot()
        return self

    def __exit__(self, *_: object) -> None:
        self._unplug()
        self.system.__exit__()

    def install(self, package: Path) -> None:
        """`dpkg -i`; the box has no network beyond itself."""
        target = self.system.root / "root" / package.name
        target.write_bytes(package.read_bytes())
        self.system.run("dpkg", "-i", f"/root/{package.name}", timeout_s=180)
        target.unlink()

    def file(self, path: str) -> Path:
        """A file of the box, as it is reached from here."""
        return self.system.root / path.lstrip("/")

    def clear(self) -> None:
        """As after the installation, with the profiles of the sensors."""
        self.systemctl("stop", "stethos")
        self.system.run("sh", "-c", "rm -rf /etc/stethos/* /var/lib/stethos/* /etc/systemd/system/stethos.service.d")
        self.systemctl("daemon-reload")
        self.systemctl("reset-failed", "stethos", check=False)
        profiles = self.file("/etc/stethos/firmware_configs")
        profiles.mkdir()
        (profiles / "accel.toml").write_text(ACCEL)
        (profiles / "drive.toml").write_text(DRIVE)
        self.plug()

    def bring(self, folder: str, *, golden_error: float = 0.0) -> None:
        """Put the bundles and their key into a folder."""
        pump = energy_bundle(contract(("x", "[g]"), ("y", "[g]")), golden_error=golden_error)
        self.file(f"{folder}/pump.stethos").write_bytes(pump)
        self.file(f"{folder}/motor.stethos").write_bytes(energy_bundle(contract(("current", "A"))))
        self.file(f"{folder}/release.pub").write_bytes(public_pem(KEY.public_key()))

    def configure(self, agent: str = AGENT, *, drop_in: str = "", golden_error: float = 0.0) -> None:
        """Put everything into place that an operator would, and no state of earlier times."""
        self.clear()
        self.bring("/etc/stethos", golden_error=golden_error)
        self.file("/etc/stethos/agent.toml").write_text(agent)
        if drop_in:
            folder = self.file("/etc/systemd/system/stethos.service.d")
            folder.mkdir()
            (folder / "test.conf").write_text(drop_in)
            self.systemctl("daemon-reload")

    def plug(self) -> None:
        """Plug the sensor in; a reboot unplugs it."""
        self._unplug()
        self._port = PortInside(self.system, PORT)

    def _unplug(self) -> None:
        if self._port is not None:
            self._port.close()
        self._port = None

    def systemctl(self, *arguments: str, check: bool = True, timeout_s: float = 90.0) -> str:
        return self.system.run("systemctl", *arguments, check=check, timeout_s=timeout_s).stdout.strip()

    def start(self) -> None:
        """Start the service, which returns once it is READY."""
        done = self.system.run("systemctl", "start", "stethos", check=False, timeout_s=90)
        assert done.returncode == 0, f"{done.stderr}\n{self.journal()}"

    def property(self, name: str) -> str:
        """A property of the service, as in ActiveState, MainPID or StatusText."""
        return self.systemctl("show", "stethos", f"--property={name}", "--value")

    def journal(self) -> str:
        return self.system.run("journalctl", "-b", "-u", "stethos", "-o", "cat", "--no-pager").stdout

    def wait_active(self, timeout_s: float, *, not_pid: str = "0") -> str:
        """The process number of the service once it is READY as another process than `not_pid`."""

        def ready() -> bool:
            return self.property("ActiveState") == "active" and self.property("MainPID") not in {"0", not_pid}

        wait_until(ready, timeout_s, "the service is active")
        return self.property("MainPID")

    @contextmanager
    def outspoken_systemd(self) -> Iterator[None]:
        """Inside of the `with`, the journal has every message that systemd hears from the service, and every state it gives it."""
        self.system.run("systemd-analyze", "log-level", "debug")
        try:
            yield
        finally:
            self.system.run("systemd-analyze", "log-level", "info")

    @contextmanager
    def consumer(self, **login: str) -> Iterator[Subscriber]:
        """Somebody who listens to everything that the broker of the box is sent."""
        subscriber = Subscriber("127.0.0.1", 1883, "stethos/#", **login)
        with self.system.network():
            subscriber.__enter__()
        try:
            yield subscriber
        finally:
            subscriber.__exit__()

    @contextmanager
    def consumer_of_new_broker(self) -> Iterator[Subscriber]:
        """As `consumer`, of a broker that starts only now: the agent stops meanwhile, so that nothing passes the consumer by."""
        self.systemctl("stop", "stethos")
        self.systemctl("start", "mosquitto")
        with self.consumer() as subscriber:
            self.start()
            yield subscriber

    @contextmanager
    def broker_login(self, username: str, password: str) -> Iterator[None]:
        """Inside of the `with`, mosquitto lets only this user in."""
        self.system.run("mosquitto_passwd", "-b", "-c", "/etc/mosquitto/passwd", username, password)
        self.system.run("chown", "mosquitto", "/etc/mosquitto/passwd")
        login = self.file("/etc/mosquitto/conf.d/login.conf")
        login.write_text("listener 1883 127.0.0.1\nallow_anonymous false\npassword_file /etc/mosquitto/passwd\n")
        self.systemctl("restart", "mosquitto")
        try:
            yield
        finally:
            login.unlink()
            self.systemctl("restart", "mosquitto")

    def accel(self, seconds: float, level: float = NORMAL) -> None:
        """The accelerometer speaks for so long of its own time."""
        assert self._port is not None, "it is not plugged in"
        readings = self._random.standard_normal((round(seconds * RATE_HZ), 2)) * [level, 1]
        self._port.write(b"".join(self._accel.frame(row, self._tick()) for row in readings.tolist()))

    def drive(self, seconds: float, level: float = NORMAL) -> None:
        """The drive publishes for so long of its own time."""
        readings = self._random.standard_normal(round(seconds * RATE_HZ)) * level
        lines = b"\n".join(self._drive.frame([value], self._tick()) for value in readings.tolist()).decode()
        self.system.run("mosquitto_pub", "-h", "127.0.0.1", "-t", "plant/drive", "-q", "1", "-l", stdin=lines + "\n")

    def raise_alarm(self) -> None:
        """Normal operation, then a fault that lasts."""
        self.accel(20)
        self.accel(20, FAULT)

    def standing(self) -> list[dict[str, Any]]:
        """What `stethos alarms list` says stands."""
        found = json.loads(self.system.run("stethos", "alarms", "list", "--json").stdout)
        return list(found["alarms"])

    def _tick(self) -> int:
        self._clock_ns += STEP_NS
        return self._clock_ns


def alarm_keys(messages: list[Received], machine: str = "pump") -> list[str]:
    """The keys of new alarms of a machine, as often as they came."""
    bodies = [json.loads(m.payload) for m in messages if m.topic == f"stethos/box/machine/{machine}/alarm"]
    return [body["key"] for body in bodies if body["type"] == "new"]


def has_alarm(machine: str = "pump") -> Any:
    """For Subscriber.wait_for."""
    return lambda messages: bool(alarm_keys(messages, machine))


def restarted(box: Box, signal: str, timeout_s: float) -> tuple[str, float]:
    """Send the service's process a signal; the new process once it is READY, and the seconds that took."""
    pid = box.property("MainPID")
    started_s = time.monotonic()
    box.system.run("kill", f"-{signal}", pid)
    return box.wait_active(timeout_s, not_pid=pid), time.monotonic() - started_s

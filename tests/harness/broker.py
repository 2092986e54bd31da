"""A real mosquitto on a free loopback port that tests start, kill and stop, and a subscriber that remembers what it saw."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

START_TIMEOUT_S = 60.0
# What is awaited comes at once where there is nothing else to do; on two slow cores that do much else it may take this long.
PATIENCE_S = 30.0
# Below those that the kernel gives to outgoing connections, one of which might take the port before its listener, or while that is away.
_PORTS = range(15_000, 32_000)
# Debian installs daemons where an ordinary user's PATH does not look.
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


def free_port() -> int:
    """A loopback TCP port that nothing listens on at this moment, and that nobody is given by chance."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError(f"a hundred ports of {_PORTS} are all taken")


def require(program: str, package: str) -> str:
    """The path of `program`; without it the test fails, or skips where STETHOS_SKIP_MISSING=1 says that it may."""
    if path := shutil.which(program, path=_PATH):
        return path
    message = f"{program} is not installed: apt install {package}"
    if os.environ.get("STETHOS_SKIP_MISSING") == "1":
        pytest.skip(message)
    pytest.fail(f"{message} (or set STETHOS_SKIP_MISSING=1 to skip these tests)", pytrace=False)


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Poll until `condition()` holds; raises AssertionError that names `what` when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.01)


class Broker:
    """One mosquitto. `config_lines` are appended to its configuration, such as `persistence true` or `acl_file ...`.

    Without lines of its own about access it lets everybody in; `listener_lines` follow the listener (TLS settings).
    """

    def __init__(
        self,
        folder: Path,
        config_lines: Iterable[str] = (),
        *,
        port: int | None = None,
        host: str = "127.0.0.1",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._environment = {**os.environ, **(environment or {})}
        self._program = require("mosquitto", "mosquitto")
        self.port = port or free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.log_path = folder / f"mosquitto-{self.port}.log"
        self._config = folder / f"mosquitto-{self.port}.conf"
        lines = list(config_lines)
        if not any(line.startswith(("allow_anonymous", "password_file")) for line in lines):
            lines.append("allow_anonymous true")
        if not any(line.startswith("max_queued_messages") for line in lines):
            # Its own limit of 1,000 makes it drop what a consumer of ours has not come to read yet.
            lines.append("max_queued_messages 100000")
        if os.geteuid() == 0:
            # mosquitto started by root becomes the user `mosquitto`, who may not read a test's folder.
            lines.append("user root")
        self._lines = lines
        self.move(host)

    def move(self, host: str) -> None:
        """Listen on another address, from the next start on."""
        self.host = host
        self._config.write_text(
            "\n".join(
                [
                    f"listener {self.port} {host}",
                    f"persistence_location {self._folder}/",
                    "log_type all",
                    *self._lines,
                    "",
                ]
            )
        )

    @property
    def url(self) -> str:
        return f"mqtt://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the broker does not run"
        return self._process.pid

    def start(self) -> None:
        """Start it, on the same port and configuration each time, and return when it accepts TCP."""
        assert self._process is None, "the broker runs already"
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", self._config], stdout=log, stderr=log, env=self._environment
            )
        wait_until(self._accepts_or_ended, START_TIMEOUT_S, f"mosquitto listening on port {self.port}")
        if self._process.poll() is not None:
            self._process = None
            raise AssertionError(f"mosquitto ended at once:\n{self.log()}")

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self._end(lambda process: process.kill())

    def stop(self) -> None:
        """SIGTERM: it writes its persistence file, where it has one, and closes its connections."""
        self._end(lambda process: process.terminate())

    def reload(self) -> None:
        """SIGHUP: it reads its configuration, its access lists too, anew."""
        assert self._process is not None, "the broker does not run"
        self._process.send_signal(signal.SIGHUP)

    def log(self) -> str:
        """What mosquitto wrote so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _accepts_or_ended(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            return True
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=0.5):
            return True
        return False

    def _end(self, end: Callable[[subprocess.Popen[bytes]], None]) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        end(process)
        try:
            process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=PATIENCE_S)


@dataclass(frozen=True)
class Received:
    """One message as it arrived; `properties` are those of MQTT v5 by their names (`MessageExpiryInterval`)."""

    topic: str
    payload: bytes
    retain: bool
    qos: int
    properties: dict[str, Any] = field(default_factory=dict)


class Subscriber:
    """An MQTT v5 consumer of `topics` that keeps every message; use it as a context manager."""

    def __init__(
        self,
        host: str,
        port: int,
        *topics: str,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        self._address = (host, port)
        self._topics = [(topic, 1) for topic in topics or ("#",)]
        self._changed = threading.Condition()
        self._messages: list[Received] = []
        self._subscriptions = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.connect_timeout = PATIENCE_S
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        if username is not None:
            self._client.username_pw_set(username, password)

    @property
    def messages(self) -> list[Received]:
        """A copy of what arrived so far, oldest first."""
        with self._changed:
            return list(self._messages)

    def payloads(self, topic: str) -> list[bytes]:
        """Payloads that arrived on exactly `topic`, oldest first."""
        return [message.payload for message in self.messages if message.topic == topic]

    def wait_for(self, predicate: Callable[[list[Received]], bool], timeout_s: float = PATIENCE_S) -> list[Received]:
        """The messages once `predicate(messages)` holds; raises AssertionError with the last ones when time is up."""
        with self._changed:
            if not self._changed.wait_for(lambda: predicate(self._messages), timeout_s):
                raise AssertionError(f"not within {timeout_s:g} s; {len(self._messages)} came, last: {self._tail()}")
            return list(self._messages)

    def wait_subscribed(self, times: int = 1, timeout_s: float = PATIENCE_S) -> None:
        """Return once it has subscribed that often: 2 after the broker was restarted.

        What is published while it is away passes it by, as the broker keeps no session for it.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._subscriptions >= times, timeout_s):
                raise AssertionError(f"no {times} subscriptions at {self._address} within {timeout_s:g} s")

    def __enter__(self) -> Self:
        self._client.connect(*self._address, keepalive=10)
        self._client.loop_start()
        try:
            self.wait_subscribed()
        except AssertionError:
            self._client.loop_stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _tail(self) -> list[tuple[str, bytes]]:
        return [(message.topic, message.payload[:80]) for message in self._messages[-5:]]

    def _on_connect(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe(self._topics)

    def _on_subscribe(self, *_: object) -> None:
        with self._changed:
            self._subscriptions += 1
            self._changed.notify_all()

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        properties = {} if message.properties is None else dict(message.properties.__dict__)
        for internal in ("packetType", "types", "names", "properties"):
            properties.pop(internal, None)
        with self._changed:
            self._messages.append(
                Received(message.topic, bytes(message.payload), bool(message.retain), message.qos, properties)
            )
            self._changed.notify_all()

"""Where a simulated device sends: a pseudo-terminal that is the daemon's serial port, or a broker."""

from __future__ import annotations

import contextlib
import os
import select
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.config.broker import Broker
from agent.errors import LinkError

_HEAR_BYTES = 4_096
_CONNECT_S = 5.0
_QUEUED_MESSAGES = 10_000


class Outlet(Protocol):
    """Plugged in and out by its owner; `unsent` counts what nobody took."""

    unsent: int

    @property
    def name(self) -> str:
        """Where to listen."""
        ...

    def plug(self) -> None:
        """Appear; raises LinkError."""
        ...

    def unplug(self) -> None:
        """Vanish, without a word."""
        ...

    def send(self, topic: str, data: bytes) -> None:
        """Send, or count what cannot be sent; a wire does not wait."""
        ...


class PtyPort:
    """A pseudo-terminal, behind a link at `path` where one is given; `answer` turns what the host says into a reply."""

    def __init__(self, path: Path | None, answer: Callable[[bytes], bytes]) -> None:
        self.unsent = 0
        self._path = path
        self._answer = answer
        self._far = self._near = -1

    @property
    def name(self) -> str:
        return str(self._path) if self._path is not None else os.ttyname(self._near)

    def plug(self) -> None:
        self._far, self._near = os.openpty()
        # Raw, or the line discipline would echo frames back and turn bytes into signals and line ends.
        tty.setraw(self._near)
        os.set_blocking(self._far, False)
        if self._path is not None:
            try:
                if self._path.is_symlink():  # left by a run that was killed
                    self._path.unlink()
                self._path.symlink_to(os.ttyname(self._near))
            except OSError as error:
                raise LinkError(f"cannot put the port at {self._path}: {error.strerror}") from error

    def unplug(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        # Held open until now, because a terminal without any near end gives its far end an I/O error.
        os.close(self._near)
        os.close(self._far)

    def send(self, topic: str, data: bytes) -> None:  # noqa: ARG002 - a port has no topics
        readable, writable, _ = select.select([self._far], [self._far], [], 0)
        if readable:
            data = self._answer(os.read(self._far, _HEAR_BYTES)) + data
        written = 0
        if writable:
            with contextlib.suppress(BlockingIOError):
                written = os.write(self._far, data)
        self.unsent += len(data) - written


class MqttTopics:
    """A client of a broker that publishes at QoS 1; `will` is what the broker says when it is unplugged."""

    def __init__(self, broker: Broker, will: tuple[str, bytes] | None) -> None:
        self.unsent = 0
        self._broker = broker
        self._will = will
        self._client: mqtt.Client | None = None

    @property
    def name(self) -> str:
        return f"{'mqtts' if self._broker.tls else 'mqtt'}://{self._broker.host}:{self._broker.port}"

    def plug(self) -> None:
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        client.connect_timeout = _CONNECT_S
        client.max_queued_messages_set(_QUEUED_MESSAGES)
        if self._broker.tls:
            client.tls_set()
        if self._will is not None:
            client.will_set(*self._will, qos=1)
        try:
            client.connect(self._broker.host, self._broker.port)
        except OSError as error:
            raise LinkError(f"cannot connect to {self.name}: {error}") from error
        client.loop_start()
        self._client = client

    def unplug(self) -> None:
        """Cut the connection below MQTT: the broker publishes the will."""
        if self._client is None:
            return
        self._client.loop_stop()
        if (connected := self._client.socket()) is not None:
            connected.close()
        self._client = None

    def send(self, topic: str, data: bytes) -> None:
        taken = self._client is not None and self._client.publish(topic, data, qos=1).rc == mqtt.MQTT_ERR_SUCCESS
        self.unsent += 0 if taken else len(data)

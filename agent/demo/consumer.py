"""An alarm consumer as anyone would write one: subscribed to everything the agent says, telling old news from new."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from dataclasses import dataclass
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.errors import LinkError

_TIMEOUT_S = 10.0
_MOST_WAITING = 10_000
# A live message does not say that the broker also retains it; these names do.
_STATE_TOPICS = {"availability", "health", "alarms"}


@dataclass(frozen=True, slots=True)
class Heard:
    """One message; the topic is relative to the agent's own, as in `machine/reactor/alarm`."""

    topic: str
    payload: bytes


class Consumer:
    """A context manager: subscribed to BASE/AGENT/# once entered."""

    def __init__(self, broker: tuple[str, int], agent_topic: str) -> None:
        self._broker = broker
        self._prefix = f"{agent_topic}/"
        self._heard: queue.Queue[Heard] = queue.Queue(_MOST_WAITING)
        self._retained: set[str] = set()  # topics in full
        self._subscribed = threading.Event()
        self.overflowed = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def take(self) -> list[Heard]:
        """What arrived since the last call, oldest first; does not wait."""
        heard = []
        while not self._heard.empty():
            heard.append(self._heard.get_nowait())
        return heard

    def wait_for(self, topic: str, payload: bytes, timeout_s: float) -> list[Heard]:
        """Everything up to the message `payload` on `topic`; raises LinkError when it does not come in time."""
        heard: list[Heard] = []
        deadline = time.monotonic() + timeout_s
        while Heard(topic, payload) not in heard:
            try:
                heard.append(self._heard.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                raise LinkError(f"'{payload.decode()}' did not come on {self._prefix}{topic}") from None
        return heard

    def clear_retained(self) -> None:
        """Take the agent's retained topics off the broker again, so that a demo leaves nothing behind on a real one."""
        for topic in sorted(self._retained):
            with contextlib.suppress(RuntimeError, ValueError):  # the broker is gone, and what it kept with it
                self._client.publish(topic, b"", qos=1, retain=True).wait_for_publish(_TIMEOUT_S)

    def __enter__(self) -> Self:
        host, port = self._broker
        try:
            self._client.connect(host, port)
        except OSError as error:
            raise LinkError(f"no MQTT broker answers at {host}:{port}: {error}") from error
        self._client.loop_start()
        if not self._subscribed.wait(_TIMEOUT_S):
            self._client.loop_stop()
            raise LinkError(f"the broker at {host}:{port} granted no MQTT v5 subscription to {self._prefix}#")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(f"{self._prefix}#", qos=1)

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, _mid: int, codes: list[Any], *_: Any) -> None:
        if not any(code.is_failure for code in codes):
            self._subscribed.set()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if message.retain:
            return  # an earlier agent of this name left it on the broker
        if message.topic.rpartition("/")[2] in _STATE_TOPICS:
            self._retained.add(message.topic)
        try:
            self._heard.put_nowait(Heard(message.topic.removeprefix(self._prefix), bytes(message.payload)))
        except queue.Full:
            self.overflowed += 1

"""Those at the other end: a consumer that the broker keeps a session for, and an operator who asks and judges over MQTT."""

from __future__ import annotations

import json
import threading
from collections import Counter
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.soak.fleet import AGENT
from tests.soak.ledger import Received

_SESSION_S = 86_400
_ASKED = ("health.get", "alarms.list", "alarms.history", "config.get", "alarms.judge")


class Consumer:
    """Takes everything that the agent says into `received`, under `lock`; asks one thing at each `ask`."""

    def __init__(self, port: int) -> None:
        self.received = Received()
        self.lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()  # by status
        self._port = port
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="soak-consumer", protocol=mqtt.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._latest_alarm: str | None = None

    def ask(self) -> None:
        """The next request; whether it gets through is the network's affair, so answers are counted and not awaited."""
        name = _ASKED[self.asked.total() % len(_ASKED)]
        body: dict[str, Any] = {"transaction": self.asked.total()}
        if name == "alarms.judge":
            body |= {"alarm": self._latest_alarm, "by": "soak", "comment": "as planned", "verdict": "true"}
        self.asked[name] += 1
        self._client.publish(f"stethos/{AGENT}/request/{name}", json.dumps(body), qos=1)

    def __enter__(self) -> Self:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = _SESSION_S
        self._client.connect("127.0.0.1", self._port, keepalive=10, clean_start=False, properties=properties)
        self._client.loop_start()
        if not self._subscribed.wait(10):
            raise AssertionError("no subscription within 10 s")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe([(f"stethos/{AGENT}/#", 1)])

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        with self.lock:
            if "/response/" in message.topic:
                self.answered[json.loads(message.payload)["status"]] += 1
            elif "/request/" not in message.topic:
                self.received.take(message.topic, message.payload)
                if message.topic.endswith("/alarm"):
                    self._latest_alarm = json.loads(message.payload)["id"]

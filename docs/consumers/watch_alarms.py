"""Follow an agent's alarms over MQTT and acknowledge them: python watch_alarms.py --host broker --agent line-3 [--ack "J. Roe"].

Needs paho-mqtt 2. Prints one line of JSON for each event of an alarm, once, and never an older state after a newer one.
"""

from __future__ import annotations

import argparse
import json
import uuid
from collections import OrderedDict
from typing import Any

import paho.mqtt.client as mqtt

MOST_REMEMBERED = 10_000


class Alarms:
    """What is known of alarms. A message may come twice (MQTT's QoS 1), and an old one late (after a broken connection)."""

    def __init__(self) -> None:
        self.latest: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._seen: OrderedDict[str, None] = OrderedDict()

    def take(self, event: dict[str, Any]) -> bool:
        """True where the event is news."""
        if event["key"] in self._seen:
            return False  # a repeat: the key is the same, and so is every byte behind it
        self._seen[event["key"]] = None
        known = self.latest.get(event["id"])
        if known is not None and not is_later(event, known):
            return False
        self.latest[event["id"]] = event
        for table in (self.latest, self._seen):
            while len(table) > MOST_REMEMBERED:
                table.popitem(last=False)
        return True


def is_later(event: dict[str, Any], than: dict[str, Any]) -> bool:
    """Within one run of the agent its numbers order all messages; across runs an alarm's own revisions do."""
    if event["boot_id"] == than["boot_id"]:
        return bool(event["seq"] > than["seq"])
    return bool(event["revision"] > than["revision"])


class Watcher:
    """One connection that subscribes, prints news, and acknowledges where it was told by whom."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.alarms = Alarms()
        self._prefix = f"{options.base}/{options.agent}"
        self._operator = options.ack
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.connect(options.host, options.port)

    def run(self) -> None:
        self._client.loop_forever(retry_first_connection=True)

    def _on_connect(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe([(f"{self._prefix}/machine/+/alarm", 1), (f"{self._prefix}/response/alarms.ack", 1)])
        print(json.dumps({"watching": self._prefix}), flush=True)

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        body = json.loads(message.payload)
        if not str(body.get("schema")).endswith("/1"):
            return  # a later version may mean something else by the same names
        if body["schema"] == "stethos.response/1":
            print(json.dumps({"answer": body["status"], "error": body["error"]}), flush=True)
        elif self.alarms.take(body):
            after = body["after"]
            news = {"id": body["id"], "type": body["type"], "state": after["state"], "sentence": after["sentence"]}
            print(json.dumps(news | {"severity": after["severity"]["x733"]}), flush=True)
            if self._operator and after["state"] in {"unacknowledged", "returned_unacknowledged"}:
                self._acknowledge(body["id"])

    def _acknowledge(self, alarm: str) -> None:
        """[commands] in the agent's file must allow alarms.ack over MQTT."""
        request = {"alarm": alarm, "by": self._operator, "comment": "seen", "transaction": uuid.uuid4().hex}
        self._client.publish(f"{self._prefix}/request/alarms.ack", json.dumps(request), qos=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--base", default="stethos")
    parser.add_argument("--agent", required=True)
    parser.add_argument("--ack", metavar="NAME", help="acknowledge every alarm in this name")
    Watcher(parser.parse_args()).run()


if __name__ == "__main__":
    main()

"""Requests through mosquitto: its access list says who may ask, a captured request is worth nothing, and a flood costs the asker only."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from agent.clock import SystemClock
from agent.commands.access import sign
from agent.commands.over_mqtt import BURST, MqttRequests
from agent.upstream.link import Link
from tests.harness.broker import Broker, Subscriber, wait_until
from tests.harness.commands import Desk
from tests.harness.link import Sink, running, settings_for
from tests.harness.outbox import a_message
from tests.harness.proxy import Proxy
from tests.harness.threads import at_work

PREFIX = "stethos/line-3"
SHELVE = f"{PREFIX}/request/alarms.shelve"
LIST = f"{PREFIX}/request/alarms.list"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
FIELDS = {"machine": "pump", "for": "8h", "by": "Meier", "comment": "known"}
PEOPLE = {"line-3": "agent", "operator": "operator", "viewer": "viewer"}  # and their passwords
ACL = f"""
user line-3
topic readwrite {PREFIX}/#
user operator
topic readwrite {PREFIX}/#
user viewer
topic read {PREFIX}/#
"""


@dataclass
class Box:
    """An agent's commands behind its link; every act must be signed."""

    broker: Broker
    cable: Proxy
    desk: Desk
    requests: MqttRequests
    link: Link
    sink: Sink

    def publish(self, who: str, topic: str, *payloads: bytes) -> list[ReasonCode]:
        """What the broker says to each, published by `who`."""
        reasons: list[ReasonCode] = []
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        client.max_inflight_messages_set(len(payloads))
        client.username_pw_set(who, PEOPLE[who])
        client.on_publish = lambda _client, _data, _mid, reason, _properties: reasons.append(reason)
        client.connect(self.broker.host, self.broker.port)
        client.loop_start()
        for payload in payloads:
            client.publish(topic, payload, qos=1)
        wait_until(lambda: len(reasons) == len(payloads), 30.0, "the broker's answers")
        client.disconnect()
        client.loop_stop()
        return reasons

    def answered(self, count: int) -> list[dict[str, object]]:
        wait_until(lambda: len(self.desk.answers) >= count, 30.0, f"{count} answers, not {self.desk.answers}")
        return self.desk.answers

    @property
    def hidden(self) -> int:
        """How many points of the pump are shelved."""
        return len(self.desk.plant.alarms["pump"].hidden)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    passwords, acl = tmp_path / "passwords", tmp_path / "acl"
    for number, (name, password) in enumerate(PEOPLE.items()):
        create = ["-c"] if number == 0 else []
        subprocess.run(["mosquitto_passwd", "-b", *create, passwords, name, password], check=True, timeout=60)
    acl.write_text(ACL)
    acl.chmod(0o600)
    sink, desk = Sink(), Desk(["*"], [KEY.public_key()])
    with Broker(tmp_path, [f"password_file {passwords}", f"acl_file {acl}"]) as broker, Proxy(broker.port) as cable:
        link = Link(settings_for(cable.port, username="line-3", password="agent"), SystemClock())

        def say(topic: str, answer: bytes, correlation: bytes | None) -> None:
            desk.hear(answer)
            link.say(topic, answer, correlation)

        requests = MqttRequests(PREFIX, desk.dispatcher, say, SystemClock())
        link.listen(requests.topic_filter, requests)
        with running(link, sink), serving(desk):
            sink.wait_up()
            wait_until(lambda: "Sending SUBACK" in broker.log(), 30.0, "the subscription")
            yield Box(broker, cable, desk, requests, link, sink)


@contextlib.contextmanager
def serving(desk: Desk) -> Iterator[None]:
    """The pipeline's thread, as far as commands go."""

    def serve(stop: threading.Event) -> None:
        while not stop.wait(0.01):
            desk.work()

    with at_work(serve):
        yield


def signed(box: Box, nonce: str) -> bytes:
    return sign("line-3", "alarms.shelve", FIELDS, key=KEY, time_ns=box.desk.clock.now_ns(), nonce=nonce)


def test_whoever_may_not_publish_on_request_topics_asks_for_nothing(box: Box) -> None:
    [refusal] = box.publish("viewer", SHELVE, signed(box, "nonce-0001"))
    assert refusal.value == 0x87
    box.publish("operator", LIST, b'{"transaction": 1}')
    assert [each["transaction"] for each in box.answered(1)] == [1]
    assert (box.requests.counters["received"], box.hidden) == (1, 0)


def test_an_act_needs_a_signature_and_a_captured_one_is_worth_nothing(box: Box) -> None:
    with Subscriber(box.broker.host, box.broker.port, SHELVE, username="viewer", password="viewer") as spy:
        box.publish("operator", SHELVE, json.dumps(FIELDS).encode())
        assert "must be signed" in str(box.answered(1)[0]["error"])
        assert box.hidden == 0
        box.publish("operator", SHELVE, signed(box, "nonce-0001"))
        assert box.answered(2)[1]["status"] == "ok"
        captured = spy.wait_for(lambda seen: len(seen) == 2)[1].payload
        box.publish("operator", SHELVE, captured)
        assert "nonce was used" in str(box.answered(3)[2]["error"])
        box.publish("operator", f"{PREFIX}/request/alarms.remove", captured)
        assert "another agent or command" in str(box.answered(4)[3]["error"])
    assert box.hidden == 1


def test_a_flood_of_requests_is_counted_and_alarms_go_out_beside_it(box: Box) -> None:
    begun = time.monotonic()
    box.publish("operator", LIST, *([b""] * 300))
    box.link.publish(1, [(1, a_message("a", topic=f"{PREFIX}/alarm"))])
    assert box.sink.wait_outcomes(1) == [(1, None)]
    counters = box.requests.counters
    wait_until(lambda: counters["taken"] + counters["over_rate"] == 300, 30.0, "all of them")
    assert counters["received"] == 300
    most = BURST + 5 * (time.monotonic() - begun) + 1
    assert BURST <= counters["taken"] <= most
    assert box.sink.downs == []


def test_what_was_asked_while_the_agent_was_away_is_not_carried_out_later(box: Box) -> None:
    box.cable.cut()
    box.sink.wait_down()
    box.publish("operator", SHELVE, signed(box, "nonce-0001"))
    box.cable.plug()
    box.sink.wait_up(2)
    wait_until(lambda: box.broker.log().count("Sending SUBACK") == 2, 30.0, "the second subscription")
    box.publish("operator", LIST, b"")
    assert len(box.answered(1)) == 1
    assert (box.requests.counters["received"], box.hidden) == (1, 0)

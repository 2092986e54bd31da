"""The real daemon announces itself to Home Assistant through a real broker, and its topics make its entities' states."""

from __future__ import annotations

import json
from typing import Any

import paho.mqtt.publish

from tests.e2e.plant import FAULT, Plant, latest, types
from tests.harness.broker import Subscriber, wait_until
from tests.harness.homeassistant import attributes, states

TURNED_ON = "\n[homeassistant]\ndiscovery = true\n"


def bundles(consumer: Subscriber) -> dict[str, tuple[str, bytes]]:
    """The newest bundle of each device by its name: topic and payload; those taken back are left out."""
    newest = {m.topic: m.payload for m in consumer.messages if m.topic.startswith("homeassistant/device/")}
    return {json.loads(payload)["dev"]["name"]: (topic, payload) for topic, payload in newest.items() if payload}


def standing(consumer: Subscriber) -> list[Any] | None:
    told = latest(consumer, "machine/pump/alarms")
    return None if told is None else told["alarms"]


def test_entities_follow_the_alarms_and_vanish_with_their_machine(plant: Plant) -> None:
    config = plant.daemon.config
    config.write_text(config.read_text() + TURNED_ON)
    plant.daemon.start()
    with Subscriber(plant.broker.host, plant.broker.port) as consumer:
        consumer.wait_for(lambda _: set(bundles(consumer)) == {"Stethos line-3", "pump", "motor"})
        plant.accel(20)
        plant.accel(5, FAULT)
        plant.drive(5)
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new"])
        wait_until(lambda: bool(standing(consumer)), 30, "the standing alarm")
        for of in ("health", "device/accel/health"):
            wait_until(lambda of=of: latest(consumer, of) is not None, 30, of)
        retained = {message.topic: message.payload for message in consumer.messages}
        _, pump = bundles(consumer)["pump"]
        assert states(pump, retained)["problem"] == states(pump, retained)["problem-model"] == "ON"
        assert states(bundles(consumer)["motor"][1], retained)["problem"] == "OFF"
        assert attributes(pump, "problem", retained)["sentence"]
        agent = states(bundles(consumer)["Stethos line-3"][1], retained)
        assert agent["link"] == "ON"
        assert agent["health"] in {"ok", "maintenance_required", "check_function", "out_of_specification", "failure"}
        assert agent["lost-accel"] == "0"
        plant.accel(20)
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new", "end"])
        wait_until(lambda: standing(consumer) == [], 30, "no standing alarm")
        retained = {message.topic: message.payload for message in consumer.messages}
        assert states(pump, retained)["problem"] == "OFF"

        announced = len([m for m in consumer.messages if m.topic == bundles(consumer)["pump"][0]])
        paho.mqtt.publish.single("homeassistant/status", b"online", hostname=plant.broker.host, port=plant.broker.port)
        wait_until(
            lambda: len([m for m in consumer.messages if m.topic == bundles(consumer)["pump"][0]]) > announced,
            30,
            "the bundle again, after Home Assistant came online",
        )

        assert plant.daemon.terminate() == 0
        text = config.read_text()
        start = text.index('[[machine]]\nid = "motor"')
        config.write_text(text[:start] + text[text.index("\n[homeassistant]") :])
        plant.daemon.start()
        wait_until(lambda: set(bundles(consumer)) == {"Stethos line-3", "pump"}, 30, "the motor taken back")
    with Subscriber(plant.broker.host, plant.broker.port, "homeassistant/#") as late:
        late.wait_for(lambda _: set(bundles(late)) == {"Stethos line-3", "pump"})
        assert all(message.retain for message in late.messages)

"""The example consumers of docs/consumers: the Python one runs beside the real daemon, the others are held against real messages."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.publish
import yaml
from jinja2.nativetypes import NativeEnvironment

from agent.decide.isa18 import State
from tests.e2e.plant import FAULT, Plant, events, types
from tests.harness import schemas
from tests.harness.broker import wait_until

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "consumers"
TOPIC = "stethos/line-3/machine/pump/alarm"


@contextmanager
def watching(plant: Plant, *options: str) -> Iterator[list[dict[str, Any]]]:
    """The Python example as its reader would start it; what it prints, as it prints it."""
    command = [
        sys.executable,
        FOLDER / "watch_alarms.py",
        "--port",
        str(plant.broker.port),
        "--agent",
        "line-3",
        *options,
    ]
    said: list[dict[str, Any]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = process.stdout

        def read() -> None:
            for line in lines:
                said.append(json.loads(line))  # noqa: PERF401 - each as it comes

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            wait_until(lambda: bool(said), 30, "the example's subscription")
            yield said
        finally:
            process.kill()
            reader.join(30)


def test_the_python_example_follows_an_alarm_and_acknowledges_it(plant: Plant) -> None:
    config = plant.daemon.config
    text = config.read_text().replace("acknowledge = false", "acknowledge = true", 1)
    config.write_text(text + '\n[commands]\nmqtt = ["alarms.ack"]\n')
    plant.daemon.start()
    with plant.consumer() as consumer, watching(plant, "--ack", "J. Roe") as said:
        plant.accel(20)
        plant.accel(5, FAULT)
        consumer.wait_for(lambda messages: len(events(messages, "pump")) == 2)
        plant.accel(20)
        messages = consumer.wait_for(lambda messages: types(messages, "pump") == ["new", "end"])
        wait_until(lambda: said[-1].get("type") == "end", 30, "the end of the alarm")
    assert [(each["type"], each["state"]) for each in said if "type" in each] == [
        ("new", "unacknowledged"),
        ("update", "acknowledged"),
        ("end", "normal"),
    ]
    assert [each for each in said if "answer" in each] == [{"answer": "ok", "error": None}]
    assert events(messages, "pump")[-1]["after"]["acknowledged"]["by"] == "J. Roe"


def test_the_python_example_drops_repeats_and_what_comes_late(plant: Plant) -> None:
    first = schemas.schema("alarm")["examples"][0]
    second = first | {"key": first["key"] + "x", "seq": first["seq"] + 1, "type": "update", "revision": 2}
    after_restart = second | {"key": "y", "boot_id": "b", "seq": 0, "revision": 3}
    late_of_old_run = first | {"key": "z", "revision": 2}
    other_version = first | {"key": "v", "schema": "stethos.alarm/2"}
    with watching(plant) as said:
        for event in (second, second, first, after_restart, late_of_old_run, other_version):
            paho.mqtt.publish.single(
                TOPIC, json.dumps(event), qos=1, hostname=plant.broker.host, port=plant.broker.port
            )
        last = first | {"key": "last", "id": "another"}
        paho.mqtt.publish.single(TOPIC, json.dumps(last), qos=1, hostname=plant.broker.host, port=plant.broker.port)
        wait_until(lambda: said[-1].get("id") == "another", 30, "the last event")
    assert [each["type"] for each in said[1:]] == ["update", "update", "new"]


def test_telegraf_is_told_of_topics_and_paths_that_exist() -> None:
    document = tomllib.loads((FOLDER / "telegraf.conf").read_text())
    for consumer in document["inputs"]["mqtt_consumer"]:
        (topic,) = consumer["topics"]
        name = topic.rpartition("/")[2]
        example = schemas.schema(name)["examples"][0]
        assert topic == f"stethos/+/machine/+/{name}"
        for reader in consumer["json_v2"]:
            fields = [*reader["tag"], *reader["field"], {"path": reader["timestamp_path"]}]
            for field in fields:
                assert at(example, field["path"]) is not None, field


def test_home_assistant_s_automation_notifies_once_and_takes_it_back() -> None:
    raised, over = yaml.safe_load((FOLDER / "homeassistant.yaml").read_text())["automation"]
    event = schemas.schema("alarm")["examples"][0]

    def rendered(template: str, body: Any) -> Any:
        return NativeEnvironment().from_string(template).render(trigger={"payload_json": body})

    for automation, kind in ((raised, "new"), (over, "end")):
        (condition,) = automation["conditions"]
        assert [rendered(condition["value_template"], event | {"type": each}) for each in ("new", "update", "end")] == [
            each == kind for each in ("new", "update", "end")
        ]
    data = raised["actions"][0]["data"]
    assert rendered(data["title"], event) == "pump: high"
    assert (
        rendered(data["data"]["tag"], event)
        == rendered(over["actions"][0]["data"]["data"]["tag"], event)
        == event["id"]
    )
    assert rendered(data["data"]["push"]["interruption-level"], event) == "time-sensitive"


def test_the_node_red_flow_hangs_together() -> None:
    nodes = {node["id"]: node for node in json.loads((FOLDER / "node-red.json").read_text())}
    for node in nodes.values():
        assert all(target in nodes for port in node.get("wires", []) for target in port)
        assert node.get("broker", "stethos-broker") in nodes or node["type"] == "mqtt-broker"
    assert nodes["stethos-in"]["topic"] == "stethos/+/machine/+/alarm"


def test_thingsboard_knows_what_to_make_of_every_state() -> None:
    page = (FOLDER / "thingsboard.md").read_text()
    assert all(f"`{state.value}`" in page for state in State)


def at(body: Any, path: str) -> Any:
    for part in path.split("."):
        body = body[part]
    return body

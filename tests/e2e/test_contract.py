"""The consumers' contract, held against everything that a real daemon said through a real broker."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.e2e.contract_story import MIDNIGHT_NS, REQUESTS, documents, responses, tell
from tests.e2e.plant import events
from tests.harness import schemas
from tests.harness.broker import Received

DOCS = Path(__file__).resolve().parents[2] / "docs"
ASYNCAPI, CONSUMERS = DOCS / "asyncapi.yaml", DOCS / "consumers"


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[Received]:
    return tell(tmp_path_factory.mktemp("plant"))


def test_every_message_is_what_its_schema_says_and_no_more(said: list[Received]) -> None:
    bodies = documents(said)
    for body in bodies:
        schemas.validate(body)
    assert {schemas.name_of(body) for body in bodies} == set(schemas.NAMES)
    first = events(said, "pump")[:5]
    assert [event["type"] for event in first] == ["new", "update", "update", "update", "end"]
    assert [event["after"]["state"] for event in first] == ["unacknowledged"] * 2 + ["acknowledged"] * 2 + ["normal"]
    assert [event["after"]["judged"] is None for event in first] == [True] * 3 + [False] * 2


def test_a_second_alarm_says_what_operators_said_of_the_first_that_it_is_like(said: list[Received]) -> None:
    first, second = (event["after"] for event in events(said, "pump") if event["type"] == "new")
    assert first["similar"] == []
    (similar,) = second["similar"]
    assert (similar["id"], similar["verdict"], similar["by"]) == (first["id"], "true", "J. Roe")
    assert similar["similarity"] >= 0.9
    assert similar["lasted_s"] > 60
    assert (
        "Like the one of 2025-10-09 08:53, which J. Roe called a true alarm: the bearing is worn." in second["sentence"]
    )
    assert second["actions"] == [{"channel": "accel.x", "text": "Tighten the probe."}]


def test_a_day_is_its_intervals_and_comes_apart_from_them(said: list[Received]) -> None:
    bodies = [json.loads(message.payload) for message in said if "/machine/pump/summary" in message.topic]
    (day,) = [body for body in bodies if body["period"] == "day"]
    intervals = {
        body["key"]: body for body in bodies if body["period"] == "interval" and body["start_ns"] < MIDNIGHT_NS
    }
    assert [message.topic for message in said if message.topic.endswith("/day")] == [
        "stethos/line-3/machine/pump/summary/day"
    ]
    assert day["start_ns"] == min(body["start_ns"] for body in intervals.values())
    assert day["windows_scored"] == sum(body["windows_scored"] for body in intervals.values())
    assert day["alarms_raised"] == 2
    for index, channel in enumerate(day["channels"]):
        parts = [body["channels"][index]["values"] for body in intervals.values()]
        assert channel["values"]["n"] == sum(part["n"] for part in parts) > 10_000
        assert channel["values"]["max"] == max(part["max"] for part in parts if part["n"])


def test_the_example_merges_the_intervals_into_what_the_agent_says_of_the_day(
    said: list[Received], tmp_path: Path
) -> None:
    bodies = [json.loads(message.payload) for message in said if "/machine/pump/summary" in message.topic]
    (day,) = [body for body in bodies if body["period"] == "day"]
    intervals = {
        body["key"]: body for body in bodies if body["period"] == "interval" and body["start_ns"] < MIDNIGHT_NS
    }
    files = [tmp_path / f"{number}.json" for number in range(len(intervals))]
    for file, body in zip(files, intervals.values(), strict=True):
        file.write_text(json.dumps(body))
    ran = subprocess.run(
        [sys.executable, CONSUMERS / "merge_summaries.py", *files],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    merged = json.loads(ran.stdout)
    assert list(merged) == ["score of pump", "accel.x [[g]]", "accel.y [[g]]"]
    for name, values in zip(merged, [day["score"], *(each["values"] for each in day["channels"])], strict=True):
        assert {each: merged[name][each] for each in ("n", "min", "max")} == {
            each: values[each] for each in ("n", "min", "max")
        }
        assert merged[name]["mean"] == pytest.approx(values["mean"], abs=1e-9)
        assert merged[name]["std"] == pytest.approx(values["std"])
        for quantile in ("p05", "p25", "p50", "p75", "p95"):
            assert merged[name][quantile] == pytest.approx(values[quantile], abs=0.05 * values["std"]), (name, quantile)


def test_every_command_that_its_schema_allows_is_carried_out_and_answered_by_the_schema(said: list[Received]) -> None:
    for command, fields in REQUESTS:
        jsonschema.validate(fields, schemas.request(command), jsonschema.Draft202012Validator)
    answered = {response["transaction"]: response for response in responses(said)}
    assert [(answered[number]["command"], answered[number]["status"]) for number in range(len(REQUESTS))] == [
        (command, "ok") for command, _ in REQUESTS
    ]


def test_every_topic_is_a_channel_and_travels_as_it_says(said: list[Received]) -> None:
    document = yaml.safe_load(ASYNCAPI.read_text())
    patterns = {
        name: re.compile(re.sub(r"{\w+}", "[^/]+", channel["address"]))
        for name, channel in document["channels"].items()
    }
    for message in said:
        if "/request/" in message.topic:
            continue
        channel = next((name for name, pattern in patterns.items() if pattern.fullmatch(message.topic)), None)
        assert channel is not None, message.topic
        mqtt = document["operations"][channel]["bindings"]["mqtt"]
        assert message.qos == mqtt["qos"]
        assert ("MessageExpiryInterval" in message.properties) == ("messageExpiryInterval" in mqtt), message.topic


def test_one_run_numbers_its_messages_and_repeats_none_under_another_key(said: list[Received]) -> None:
    bodies = documents(said)
    numbers = {body["key"]: (body["boot_id"], body["seq"]) for body in bodies}
    assert len(set(numbers.values())) == len(numbers)


def test_severity_is_the_priority_s_until_the_machine_is_normal(said: list[Received]) -> None:
    raised, *_, ended = events(said, "pump")[:5]
    assert raised["after"]["severity"]["x733"] == "MAJOR"
    assert ended["before"]["severity"]["x733"] == "MAJOR"
    assert ended["after"]["severity"] == {"syslog": 5, "opcua": 1, "x733": "CLEARED", "homeassistant": "passive"}

"""The consumers' contract, held against everything that a real daemon said through a real broker."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.e2e.contract_story import REQUESTS, documents, responses, tell
from tests.e2e.plant import events
from tests.harness import schemas
from tests.harness.broker import Received

ASYNCAPI = Path(__file__).resolve().parents[2] / "docs" / "asyncapi.yaml"


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[Received]:
    return tell(tmp_path_factory.mktemp("plant"))


def test_every_message_is_what_its_schema_says_and_no_more(said: list[Received]) -> None:
    bodies = documents(said)
    for body in bodies:
        schemas.validate(body)
    assert {schemas.name_of(body) for body in bodies} == set(schemas.NAMES)
    assert [event["type"] for event in events(said, "pump")] == ["new", "update", "update", "end"]
    assert [event["after"]["state"] for event in events(said, "pump")] == ["unacknowledged"] * 2 + [
        "acknowledged",
        "normal",
    ]


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
    raised, *_, ended = events(said, "pump")
    assert raised["after"]["severity"]["x733"] == "MAJOR"
    assert ended["before"]["severity"]["x733"] == "MAJOR"
    assert ended["after"]["severity"] == {"syslog": 5, "opcua": 1, "x733": "CLEARED", "homeassistant": "passive"}

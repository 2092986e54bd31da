"""docs/schemas and docs/asyncapi.yaml: made of the structs as they are now, sound by themselves, and true of their examples."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from agent.commands.catalogue import REMOTE
from agent.decide.severity import SEVERITY
from tests.harness import schemas

ROOT = Path(__file__).resolve().parents[2]
REQUESTS = sorted(f"requests/{path.stem}" for path in (schemas.FOLDER / "requests").glob("*.json"))


def test_they_are_what_the_structs_say() -> None:
    ran = subprocess.run(
        [sys.executable, ROOT / "scripts" / "contract", "--check"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("name", [*schemas.NAMES, *REQUESTS])
def test_each_is_a_sound_schema_whose_every_field_is_explained(name: str) -> None:
    document = schemas.schema(name)
    jsonschema.Draft202012Validator.check_schema(document)
    for fields in properties(document):
        assert all(rule.get("description") for rule in fields.values()), name


@pytest.mark.parametrize("name", schemas.NAMES)
def test_each_example_was_really_said(name: str) -> None:
    for example in schemas.schema(name)["examples"]:
        assert schemas.name_of(example) == name
        schemas.validate(example)


def test_times_and_rates_say_their_unit() -> None:
    alarm = schemas.schema("alarm")["$defs"]["ToldAlarm"]["properties"]
    assert (alarm["raised_ns"]["x-unit"], alarm["budget_per_hour"]["x-unit"]) == ("ns", "/h")


def test_a_consumer_of_version_1_takes_fields_and_faults_that_came_later() -> None:
    health = schemas.schema("device-health")["examples"][0] | {"more": 1}
    health["channels"]["x"] = {"state": "failure", "faults": ["some_day"], "changes": 1}
    schemas.validate(health, strict=False)


def test_a_missing_field_a_wrong_type_and_another_version_are_refused() -> None:
    alarm = schemas.schema("alarm")["examples"][0]
    for spoilt in (
        {name: value for name, value in alarm.items() if name != "key"},
        alarm | {"seq": "4"},
        alarm | {"schema": "stethos.alarm/2"},
        alarm | {"type": "gone"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(spoilt, schemas.schema("alarm"), jsonschema.Draft202012Validator)


class TestAsyncApi:
    DOCUMENT = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())

    def test_every_reference_leads_somewhere(self) -> None:
        for reference in references(self.DOCUMENT):
            if reference.startswith("#/"):
                found = self.DOCUMENT
                for part in reference[2:].split("/"):
                    found = found[part]
            else:
                assert (ROOT / "docs" / reference).is_file(), reference

    def test_every_schema_and_every_command_is_on_a_channel(self) -> None:
        used = {Path(each).stem for each in references(self.DOCUMENT) if each.startswith("./schemas/")}
        assert used == {*schemas.NAMES, *REMOTE}


def test_the_page_for_consumers_shows_the_table_of_severities() -> None:
    page = (ROOT / "docs" / "consumers.md").read_text()
    for priority, severity in SEVERITY.items():
        row = f"| {priority} | {severity.syslog} | {severity.opcua} | {severity.x733} | {severity.homeassistant} |"
        assert row in page


def properties(part: Any) -> list[dict[str, Any]]:
    """Every table of named fields in a schema, examples aside."""
    if isinstance(part, list):
        return [found for each in part for found in properties(each)]
    if not isinstance(part, dict):
        return []
    inner = [found for name, each in part.items() if name != "examples" for found in properties(each)]
    own = part.get("properties")
    return [own, *inner] if isinstance(own, dict) and "type" in part else inner


def references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [found for each in part for found in references(each)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
    return own + [found for name, each in part.items() if name != "examples" for found in references(each)]

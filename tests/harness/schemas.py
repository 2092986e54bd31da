"""The published schemas, as a consumer validates with them, and stricter: as a producer must keep them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "schemas"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return loaded


def name_of(body: Any) -> str:
    """`stethos.device-health/1` is described by device-health.json."""
    return str(body["schema"]).removeprefix("stethos.").partition("/")[0]


def validate(body: Any, *, strict: bool = True) -> None:
    """Hold a message against its schema; where `strict`, fields that the schema does not name are errors too."""
    document = schema(name_of(body))
    jsonschema.validate(body, closed(document) if strict else document, jsonschema.Draft202012Validator)


def closed(document: Any) -> Any:
    """The schema, with every object closed that has named fields."""
    if isinstance(document, list):
        return [closed(each) for each in document]
    if not isinstance(document, dict):
        return document
    inner = {key: each if key == "examples" else closed(each) for key, each in document.items()}
    return inner | {"additionalProperties": False} if isinstance(document.get("properties"), dict) else inner


def request(command: str) -> dict[str, Any]:
    """What a command takes."""
    return schema(f"requests/{command}")

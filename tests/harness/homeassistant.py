"""What Home Assistant makes of a discovered bundle and of the messages on its topics, with the Jinja that it uses too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

_ENVIRONMENT = ImmutableSandboxedEnvironment()


def rendered(template: str, payload: bytes) -> str:
    """A value_template's outcome; `value` is the text, `value_json` what it says as JSON, where it is that."""
    text = payload.decode()
    try:
        value_json = json.loads(text)
    except ValueError:
        value_json = None
    return _ENVIRONMENT.from_string(template).render(value=text, value_json=value_json)


def states(bundle: bytes, retained: Mapping[str, bytes]) -> dict[str, str]:
    """Each entity's state by its name in the bundle; entities whose topic said nothing yet are left out."""
    entities = json.loads(bundle)["cmps"]
    return {
        name: rendered(entity["value_template"], retained[entity["state_topic"]])
        for name, entity in entities.items()
        if entity["state_topic"] in retained
    }


def attributes(bundle: bytes, name: str, retained: Mapping[str, bytes]) -> Any:
    """The attributes of one entity."""
    entity = json.loads(bundle)["cmps"][name]
    return json.loads(rendered(entity["json_attributes_template"], retained[entity["json_attributes_topic"]]))

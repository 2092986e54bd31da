"""The JSON Schema of a firmware profile, made from the structs that read one, for editors and other programs."""

from __future__ import annotations

from typing import Any

import msgspec

from agent.decode.schema import Profile

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def profile_schema() -> dict[str, Any]:
    """What a profile's TOML must be, as a JSON Schema document; rules that bind several keys are told by `stethos profile check` alone."""
    (reference,), definitions = msgspec.json.schema_components([Profile])
    return {
        "$schema": _DIALECT,
        "title": "Stethos firmware profile",
        **reference,
        "$defs": dict(sorted(definitions.items())),
    }

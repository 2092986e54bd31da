"""What the command line decides of a release beside the model: version, limits, promise, variants, engines, encryption."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from agent.errors import ConfigError, Problem
from agent.infer.certificate import Form
from agent.infer.expiry import expiry_ns
from agent.quantities import parse_duration_ns
from export.variants import FORMS

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


@dataclass(frozen=True, slots=True)
class Release:
    """`counter` must grow with every release of a name. `batch` is how many windows the box scores at once; the others as in the manifest."""

    version: str
    counter: int
    expires: str | None = None
    device_classes: tuple[str, ...] = ()
    promise_ms: float | None = None
    variants: tuple[Form, ...] = ()
    batch: int = 1
    capabilities: tuple[str, ...] = ()  # of GPUs to build TensorRT-RTX engines for
    encryption_key: bytes | None = None


def parse_variants(text: str) -> tuple[Form, ...]:
    """`"fp16,int8"` as forms; raises ConfigError for any other."""
    named = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in named if name not in FORMS]:
        raise ConfigError(
            [Problem("--variants", f"there is no variant '{unknown[0]}'", f"take some of {', '.join(FORMS)}")]
        )
    return tuple(form for form in FORMS if form in named)


def parse_promise(text: str | None) -> float | None:
    """`"5 ms"` in milliseconds; raises ConfigError for what is no duration above zero."""
    if text is None:
        return None
    try:
        promised_ms = parse_duration_ns(text) / 1e6
    except ValueError as error:
        raise ConfigError([Problem("--promise", str(error))]) from error
    if promised_ms == 0:
        raise ConfigError([Problem("--promise", "no model takes no time", "write one like '5 ms'")])
    return promised_ms


def parse_expiry(text: str | None) -> str | None:
    """A date, which ends at midnight UTC, or a time in RFC 3339; raises ConfigError for anything else."""
    if text is None:
        return None
    try:
        if _DATE.fullmatch(text):
            text = f"{date.fromisoformat(text).isoformat()}T00:00:00Z"
        expiry_ns(text)
    except ValueError as error:
        raise ConfigError([Problem("--expires", str(error), "write one like 2027-06-30")]) from error
    return text

"""How commands ask the running agent, and the times in what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def ask(config: Path, command: str, fields: Mapping[str, Any], timeout_s: float | None = None) -> Any:
    """What the running agent answers to `command`, within `timeout_s` or as soon as it does to most."""
    from agent.config.commands import control_socket
    from agent.config.load import load
    from agent.control.client import TIMEOUT_S, connected

    with connected(control_socket(load(config).config, config.parent)) as client:
        return client.ask(command, fields, timeout_s=TIMEOUT_S if timeout_s is None else timeout_s)


def in_words(time_ns: int) -> str:
    """RFC 3339, UTC, to the second."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

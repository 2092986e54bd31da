"""How `stethos alarms` asks the running agent, and the options that all of its commands share."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

_CONFIG = Path("/etc/stethos/agent.toml")
with_config = click.option(
    "--config", type=click.Path(path_type=Path), default=_CONFIG, show_default=True, help="The agent's file."
)
with_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


def ask(config: Path, command: str, fields: dict[str, Any]) -> Any:
    """What the running agent answers to `command`."""
    from agent.config.commands import control_socket
    from agent.config.load import load
    from agent.control.client import connected

    with connected(control_socket(load(config).config, config.parent)) as client:
        return client.ask(command, fields)


def in_words(time_ns: int) -> str:
    """RFC 3339, UTC, to the second."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def print_json(answer: object) -> None:
    """For scripts."""
    click.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())

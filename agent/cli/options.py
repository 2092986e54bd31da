"""Options that commands share, and the JSON that they answer in where it is asked for."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

import click

CONFIG = Path("/etc/stethos/agent.toml")
with_config = click.option(
    "--config", type=click.Path(path_type=Path), default=CONFIG, show_default=True, help="The agent's file."
)
with_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


def login() -> str:
    """Who sits at the keyboard, behind sudo too; the agent notes beside it which user the kernel saw."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def print_json(answer: object) -> None:
    """For scripts."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())

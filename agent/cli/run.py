"""`stethos run`: the daemon, in the foreground, as systemd wants it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import click

from agent.cli.logs import LEVELS, set_up_logging

_log = logging.getLogger(__name__)


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True)
@click.pass_context
def run(ctx: click.Context, config: Path, log_level: str) -> None:
    """Run the agent that CONFIG describes, until it is told to stop. Refuses to start where `stethos check` finds a problem."""
    set_up_logging(log_level)
    os.umask(0o077)  # what the agent makes is its own; whatever others are to read says so itself
    from agent.config.check import check
    from agent.config.rights import claim_folder

    checked = check(config)
    claim_folder(checked.state, f"{config}: agent.state")
    for warning in checked.warnings:
        _log.warning("%s", warning)
    from agent.app import run as run_agent

    ctx.exit(run_agent(checked))

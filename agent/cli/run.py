"""`stethos run`: the daemon, in the foreground, as systemd wants it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from agent.cli.logs import LEVELS, set_up_logging


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True)
@click.option("--strict", is_flag=True, help="Exit with 2 rather than run the last configuration that ran well.")
@click.pass_context
def run(ctx: click.Context, config: Path, log_level: str, strict: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Run the agent that CONFIG describes, until it is told to stop.

    Where `stethos check` finds a problem, the configuration that last ran well runs, and health says why; where there is none, the exit
    code is 2. SIGHUP checks CONFIG, and starts the agent anew in its place where it is good.
    """
    set_up_logging(log_level)
    os.umask(0o077)  # what the agent makes is its own; whatever others are to read says so itself
    from agent.config.starting import started

    with started(config, strict=strict) as what:
        from agent.app import run as run_agent

        ended = run_agent(what)
    if ended is None:
        # The same process to systemd, with nothing left of the one before: every file and lock is closed across this.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - itself, with its own arguments
    ctx.exit(ended)

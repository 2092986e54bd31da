"""Command line of the workstation: `stethos model ...`."""

from __future__ import annotations

import click

from export.cli.evaluate import evaluate
from export.cli.export import export
from export.cli.train import train


@click.group()
def model() -> None:
    """Train, judge and export models (on a workstation, with stethos[train])."""


model.add_command(train)
model.add_command(evaluate)
model.add_command(export)

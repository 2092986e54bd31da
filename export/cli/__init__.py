"""Command line of the workstation: `stethos model ...`."""

from __future__ import annotations

import click

from export.cli.auto import auto
from export.cli.compare import compare
from export.cli.data import data
from export.cli.evaluate import evaluate
from export.cli.export import export
from export.cli.families import families
from export.cli.parity import parity
from export.cli.report import report
from export.cli.train import train
from export.cli.tune import tune


@click.group()
def model() -> None:
    """Train, judge and export models (on a workstation, with stethos[train])."""


model.add_command(families)
model.add_command(data)
model.add_command(train)
model.add_command(tune)
model.add_command(auto)
model.add_command(evaluate)
model.add_command(compare)
model.add_command(report)
model.add_command(export)
model.add_command(parity)

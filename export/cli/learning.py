"""What `stethos model train` and `tune` are told alike: data set, family, device, precision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from export.models import FAMILIES

Command = Callable[..., Any]

# Spelled out, since the help must not wait for PyTorch.
_DEVICES = ("auto", "cpu", "cuda")
_PRECISIONS = ("auto", "float32", "bfloat16")

_SHARED = (
    click.argument("dataset", type=click.Path(path_type=Path, dir_okay=False)),
    click.option(
        "--model", "family", type=click.Choice(sorted(FAMILIES)), default="conv-autoencoder", show_default=True
    ),
    click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the run."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True),
    click.option(
        "--epochs", type=click.IntRange(min=1), default=200, show_default=True, help="At most; training stops early."
    ),
    click.option("--device", type=click.Choice(_DEVICES), default="auto", show_default=True),
    click.option(
        "--precision",
        type=click.Choice(_PRECISIONS),
        default="auto",
        show_default=True,
        help="Of matrix products in training; the score is always float32, and so is 'auto'.",
    ),
    click.option("--compile", "compiled", is_flag=True, help="Compile the training step (docs/training.md says when)."),
)


def shared(command: Command) -> Command:
    """Give `command` the options of both."""
    for option in reversed(_SHARED):
        command = option(command)
    return command

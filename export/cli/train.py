"""`stethos model train`: a data set in, a calibrated model in a run folder out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from export.cli.extra import require_training
from export.cli.learning import shared

if TYPE_CHECKING:
    from export.rundir import RunRecord


@click.command()
@shared
@click.option(
    "--window", type=click.IntRange(min=4), required=True, help="Cells of 1/rate_hz that the model sees at once."
)
@click.option("--hop", type=click.IntRange(min=1), required=True, help="Cells between one window and the next.")
@click.option(
    "--set", "sets", multiple=True, metavar="NAME=VALUE", help="An option of the family, see 'stethos model list'."
)
@click.option(
    "--augment",
    default="",
    metavar="NAMES",
    help="Alter windows in training: some of jitter, scale, warp, dropout, mix, with commas between.",
)
@click.option("--states", is_flag=True, help="Look for operating states (off, idle, load), and calibrate each.")
@click.option("--resume", is_flag=True, help="Go on where a training in --out was cut off, to the same weights.")
@click.option(
    "--log", "logs", multiple=True, metavar="KIND=PATH", help="Losses also to jsonl=FILE or tensorboard=FOLDER."
)
def train(
    *,
    dataset: Path,
    family: str,
    out: Path,
    seed: int,
    epochs: int,
    device: str,
    precision: str,
    compiled: bool,
    window: int,
    hop: int,
    sets: tuple[str, ...],
    augment: str,
    states: bool,
    resume: bool,
    logs: tuple[str, ...],
) -> None:
    """Train on the normal runs of DATASET.toml and calibrate on held-out ones.

    Under torchrun several processes train one model together: torchrun --no-python --nproc-per-node 2 stethos model train ...
    """
    require_training()
    from rich.console import Console

    from export import checkpoint, data, devices, distributed, options, rundir, training_log
    from export import dataset as datasets
    from export.cli.progress import TrainingProgress
    from export.training_run import Settings, identity, train_run

    cuda = devices.wants_cuda(device)
    with distributed.joined(cuda=cuda) as group:
        compute = devices.choose(cuda=cuda, precision=precision, compiled=compiled, group=group)
        chosen = options.read(family, sets)
        altered = options.augmentations(family, augment)
        source = datasets.load(dataset)
        recordings = data.read(source)
        settings = Settings(family, window, hop, seed, epochs, chosen.options, chosen.training, altered, states)
        identified = identity(source, recordings, settings, compute)
        kept = checkpoint.opened(out, identified, resume=resume)
        console = Console(stderr=True, quiet=not group.writes)
        with (
            training_log.opened(logs if group.writes else (), identified) as log,
            TrainingProgress(console, epochs) as progress,
        ):

            def report(epoch: int, train_loss: float, validation_loss: float) -> None:
                progress(epoch, train_loss, validation_loss)
                log(epoch, train_loss, validation_loss)

            run = train_run(source, recordings, settings, report, compute=compute, checkpoint=kept)
        if group.writes:
            rundir.save(out, run)
            kept.remove()
            say(out, run.record)


def say(out: Path, record: RunRecord) -> None:
    """Where the run is, how training went, and what to know of it."""
    how = (
        f"epoch {record.epochs} was best, validation loss {record.validation_loss:.4f}"
        if record.epochs
        else "no epochs needed"
    )
    click.echo(f"{out}: {record.family}, {how}")
    for remark in record.remarks:
        click.echo(f"  {remark}")

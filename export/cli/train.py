"""`stethos model train`: a data set in, a calibrated model in a run folder out."""

from __future__ import annotations

from pathlib import Path

import click

from export.cli.extra import require_training
from export.models import FAMILIES


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--model", "family", type=click.Choice(sorted(FAMILIES)), default="conv-autoencoder", show_default=True)
@click.option(
    "--window", type=click.IntRange(min=4), required=True, help="Cells of 1/rate_hz that the model sees at once."
)
@click.option("--hop", type=click.IntRange(min=1), required=True, help="Cells between one window and the next.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the run.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--epochs", type=click.IntRange(min=1), default=200, show_default=True, help="At most; training stops early."
)
def train(*, dataset: Path, family: str, window: int, hop: int, out: Path, seed: int, epochs: int) -> None:
    """Train on the normal runs of DATASET.toml and calibrate on held-out ones."""
    require_training()
    from rich.console import Console

    from export import data, rundir
    from export import dataset as datasets
    from export.cli.progress import TrainingProgress
    from export.training_run import Settings, train_run

    console = Console(stderr=True)
    source = datasets.load(dataset)
    recordings = data.read(source)
    settings = Settings(family=family, window=window, hop=hop, seed=seed, epochs=epochs)
    with TrainingProgress(console, epochs) as progress:
        run = train_run(source, recordings, settings, progress)
    rundir.save(out, run)
    record = run.record
    how = (
        f"epoch {record.epochs} was best, validation loss {record.validation_loss:.4f}"
        if record.epochs
        else "no epochs needed"
    )
    click.echo(f"{out}: {family}, {how}")
    for remark in record.remarks:
        click.echo(f"  {remark}")

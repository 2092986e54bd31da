"""`stethos model tune`: hyperparameters searched for without labels, and the best of them trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from export.cli.extra import require_training
from export.cli.learning import shared

if TYPE_CHECKING:
    from export.tune import Trial, Tuned


@click.command()
@shared
@click.option(
    "--window", "windows", type=click.IntRange(min=4), multiple=True, required=True, help="Repeat to choose from."
)
@click.option("--hop", "hops", type=click.IntRange(min=1), multiple=True, required=True, help="Repeat to choose from.")
@click.option(
    "--trials", type=click.IntRange(min=1), default=30, show_default=True, help="In all, those of before included."
)
@click.option(
    "--study",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="SQLite file of optuna; an interrupted search goes on in it.",
)
@click.option("--json", "as_json", is_flag=True, help="Every trial and the best as JSON.")
def tune(
    *,
    dataset: Path,
    family: str,
    out: Path,
    seed: int,
    epochs: int,
    device: str,
    precision: str,
    compiled: bool,
    windows: tuple[int, ...],
    hops: tuple[int, ...],
    trials: int,
    study: Path,
    as_json: bool,
) -> None:
    """Try options of a family on the train runs of DATASET.toml, and train the best into --out.

    A trial is judged on windows it was not trained on: by ROC AUC of synthetic anomalies against them, less its spread over time. A
    supervised family is judged on the labels there.
    """
    require_training()
    from rich.console import Console

    from export import data, devices, distributed, rundir
    from export import dataset as datasets
    from export.cli.progress import SearchProgress, TrainingProgress
    from export.cli.train import say
    from export.training_run import train_run
    from export.tune import Search
    from export.tune import tune as search_for

    cuda = devices.wants_cuda(device)
    compute = devices.choose(cuda=cuda, precision=precision, compiled=compiled, group=distributed.ALONE)
    source = datasets.load(dataset)
    recordings = data.read(source)
    search = Search(family, tuple(sorted(set(windows))), tuple(sorted(set(hops))), seed, epochs, trials)
    console = Console(stderr=True)
    with SearchProgress(console, trials) as searching:
        found = search_for(source, recordings, search, study, compute=compute, told=searching)
    with TrainingProgress(console, epochs) as progress:
        run = train_run(source, recordings, found.settings, progress, compute=compute)
    rundir.save(out, run)
    if as_json:
        click.echo(_as_json(found, out))
        return
    best = ", ".join(f"{name}={_short(value)}" for name, value in found.best.params.items())
    click.echo(f"best of {len(found.trials)} trials: {best}: {found.best.remark}")
    say(out, run.record)


def _as_json(found: Tuned, out: Path) -> str:
    import msgspec

    def shown(trial: Trial) -> dict[str, object]:
        return {"number": trial.number, "value": trial.value, "params": dict(trial.params), "remark": trial.remark}

    answer = {"best": shown(found.best), "trials": [shown(trial) for trial in found.trials], "run": str(out)}
    return msgspec.json.format(msgspec.json.encode(answer), indent=2).decode()


def _short(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

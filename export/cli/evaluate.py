"""`stethos model evaluate`: a run folder judged on the test runs of its data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from export.cli.extra import require_training

if TYPE_CHECKING:
    from export.evaluate import Judgement


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path, file_okay=False))
@click.option("--false-alarms", default="1 per week", show_default=True, help="The budget to decide by.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
def evaluate(run_dir: Path, false_alarms: str, as_json: bool) -> None:  # noqa: FBT001 - a flag
    """Judge the model in RUN_DIR on the `test` runs of its data set; its bundle will carry the metrics."""
    require_training()
    import msgspec

    from agent.errors import ConfigError, Problem
    from agent.quantities import parse_rate_per_hour
    from export import data, dataset, rundir
    from export.evaluate import judge

    try:
        budget_per_hour = parse_rate_per_hour(false_alarms)
    except ValueError as error:
        raise ConfigError([Problem("--false-alarms", str(error))]) from error
    run = rundir.load(run_dir)
    recordings = data.read(dataset.load(Path(run.record.dataset)))
    if recordings.sha256 != run.record.data_sha256:
        what = "the data has changed since this model was trained on it"
        raise ConfigError([Problem(run.record.dataset, what, "train again, or bring the old files back")])
    tests = recordings.of("test")
    if not tests:
        raise ConfigError([Problem(run.record.dataset, "no run has the role 'test'", "add a [[run]] to judge by")])
    judgement = judge(run.model, run.record.contract, run.record.calibration, tests, budget_per_hour)
    rundir.save_record(run_dir, msgspec.structs.replace(run.record, metrics=judgement.metrics))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(judgement), indent=2))
    else:
        _print(judgement, false_alarms)


def _print(judgement: Judgement, false_alarms: str) -> None:
    from rich.console import Console
    from rich.table import Table

    runs = Table(
        "run", "windows", "unknown", "normal h", "false alarms", "detection delay", title=f"at most {false_alarms}"
    )
    for run in judgement.runs:
        delays = ", ".join("missed" if delay is None else f"{delay:g} s" for delay in run.delays_s)
        runs.add_row(
            run.run, str(run.windows), str(run.unknown), f"{run.normal_hours:.3g}", str(run.false_alarms), delays
        )
    figures = Table("metric", "value")
    for name, value in judgement.metrics.items():
        figures.add_row(name, f"{value:.4g}")
    console = Console()
    console.print(runs, figures)
    console.print(f"Protocol: {judgement.protocol}.", highlight=False)

"""`stethos model evaluate`: a run folder judged on the test runs of its data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from export.cli.extra import require_training

if TYPE_CHECKING:
    from export.judge.judgement import Judgement


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path, file_okay=False))
@click.option("--false-alarms", default="1 per week", show_default=True, help="The budget to decide by.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
def evaluate(run_dir: Path, false_alarms: str, as_json: bool) -> None:  # noqa: FBT001 - a flag
    """Judge the model in RUN_DIR on the `test` runs of its data set; its bundle will carry the metrics."""
    require_training()
    import msgspec

    from export import rundir
    from export.judge import opening
    from export.judge.judgement import judge

    budget_per_hour = opening.budget_per_hour(false_alarms)
    candidate = opening.opened(run_dir)
    record = candidate.run.record
    judgement = judge(
        candidate.run.model,
        record.contract,
        record.calibration,
        candidate.tests,
        budget_per_hour,
        states=record.states,
    )
    rundir.save_record(run_dir, msgspec.structs.replace(record, metrics=judgement.metrics))
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
    figures = Table("metric", "value", "95 % interval")
    for name, value in judgement.metrics.items():
        low_high = judgement.intervals.get(name)
        figures.add_row(name, f"{value:.4g}", "" if low_high is None else f"{low_high[0]:.3g} to {low_high[1]:.3g}")
    console = Console()
    console.print(runs, figures)
    console.print(f"Protocol: {judgement.protocol}.", highlight=False)
    how = f"{judgement.resamples} resamples of blocks of {judgement.block_windows} windows, seed {judgement.seed}"
    console.print(f"Intervals: {how}. VUS buffers: 0 to {judgement.vus_buffer_windows} windows.", highlight=False)
    console.print(f"A change may be reported for {judgement.changepoint_window_s:g} s.", highlight=False)

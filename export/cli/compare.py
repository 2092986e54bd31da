"""`stethos model compare`: several run folders judged on the same windows, with intervals of their differences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from export.cli.extra import require_training

if TYPE_CHECKING:
    from export.judge.comparison import Compared, Comparison

_SHOWN = (
    "f1",
    "precision",
    "recall",
    "false_alarm_rate",
    "roc_auc",
    "average_precision",
    "vus_pr",
    "event_recall",
    "median_delay_s",
    "false_alarms_per_day",
)


@click.command()
@click.argument("run_dirs", type=click.Path(path_type=Path, file_okay=False), nargs=-1, required=True)
@click.option("--false-alarms", default="1 per week", show_default=True, help="The budget to decide by.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
def compare(run_dirs: tuple[Path, ...], false_alarms: str, as_json: bool) -> None:  # noqa: FBT001 - a flag
    """Judge the models in RUN_DIRS, all of the same data, and tell by how much each differs from the first."""
    require_training()
    import msgspec

    from export.judge import comparison, opening

    if len(run_dirs) < 2:
        raise click.UsageError("give two run folders or more")
    budget_per_hour = opening.budget_per_hour(false_alarms)
    found = comparison.compare([opening.opened(each) for each in run_dirs], budget_per_hour)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    else:
        _print(found, false_alarms)


def _print(found: Comparison, false_alarms: str) -> None:
    from rich.console import Console
    from rich.table import Table

    title = f"{found.windows} common windows, at most {false_alarms}"
    names = [name for name in _SHOWN if any(name in each.judgement.metrics for each in found.models)]
    table = Table("metric", *(f"{each.run}\n{each.family}" for each in found.models), title=title)
    for name in names:
        table.add_row(name, *(_cell(each, name) for each in found.models))
    console = Console()
    console.print(table)
    console.print(
        "In brackets the difference to the first model with its 95 % interval; * where that leaves out 0.",
        highlight=False,
    )
    console.print(f"Protocol: {found.protocol}.", highlight=False)


def _cell(model: Compared, name: str) -> str:
    if name not in model.judgement.metrics:
        return ""
    text = f"{model.judgement.metrics[name]:.4g}"
    difference = model.differences.get(name)
    if difference is None:
        return text
    if difference.interval is None:
        return f"{text} ({difference.value:+.3g})"
    low, high = difference.interval
    star = "" if low <= 0 <= high else "*"
    return f"{text} ({difference.value:+.3g}, {low:+.3g} to {high:+.3g}){star}"

"""`stethos model report`: a run folder told in one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path

import click

from export.cli.extra import require_training


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="The file; RUN_DIR/report.html if not given."
)
@click.option("--false-alarms", default="1 per week", show_default=True, help="The budget to decide by.")
def report(run_dir: Path, out: Path | None, false_alarms: str) -> None:
    """Tell data, training, judgement, errors and cost of the model in RUN_DIR in one self-contained HTML file."""
    require_training()
    from agent.errors import ConfigError, Problem
    from export.judge import opening
    from export.report import page

    budget_per_hour = opening.budget_per_hour(false_alarms)
    path = out or run_dir / "report.html"
    text = page.render(page.gather(opening.opened(run_dir), budget_per_hour))
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be written: {error.strerror}", "give another --out")]) from error
    click.echo(f"{path}: {len(text.encode())} bytes")

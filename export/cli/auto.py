"""`stethos model auto`: a data set in, a chosen, calibrated and signed model out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from export.cli.extra import require_training

if TYPE_CHECKING:
    from export.auto import Choice, Tried


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the run.")
@click.option("--budget", default="", help='What the model may cost: "1 ms, 5 MB" a window on one core, and in size.')
@click.option("--window", "windows", type=click.IntRange(min=4), multiple=True, help="Repeat to choose from.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--epochs", type=click.IntRange(min=1), default=100, show_default=True, help="At most, of networks.")
@click.option(
    "--key", type=click.Path(path_type=Path, dir_okay=False), help="Private key: also sign NAME-1.0.0.stethos in --out."
)
@click.option("--json", "as_json", is_flag=True, help="All that was tried, and the choice, as JSON.")
def auto(
    *,
    dataset: Path,
    out: Path,
    budget: str,
    windows: tuple[int, ...],
    seed: int,
    epochs: int,
    key: Path | None,
    as_json: bool,
) -> None:
    """Try sensible families on the train runs of DATASET.toml, choose one without labels, and train it into --out."""
    require_training()
    from rich.console import Console

    from agent.errors import ConfigError, Problem
    from export import auto as automatic
    from export import data, rundir
    from export import dataset as datasets
    from export.cli.progress import TrainingProgress
    from export.cli.train import say
    from export.training_run import train_run

    try:
        allowed = automatic.parse_budget(budget)
    except ValueError as error:
        raise ConfigError([Problem("--budget", str(error))]) from error
    source = datasets.load(dataset)
    recordings = data.read(source)
    console = Console(stderr=True)
    choice = automatic.choose(
        source,
        recordings,
        allowed,
        windows=windows,
        seed=seed,
        epochs=epochs,
        told=lambda tried: console.print(_line(tried), highlight=False),
    )
    with TrainingProgress(console, epochs) as progress:
        run = train_run(source, recordings, choice.best.settings, progress)
    rundir.save(out, run)
    bundle = None if key is None else _sign(out, key)
    if as_json:
        click.echo(_as_json(choice, out, bundle))
        return
    click.echo(f"chosen: {choice.why}")
    say(out, run.record)
    click.echo(f"  signed as {bundle}" if bundle else f"  sign it: stethos model export {out} --key KEY --out FOLDER")


def _sign(out: Path, key: Path) -> Path:
    from export.cli.export import signed
    from export.release import Release

    return signed(out, [key], out, Release("1.0.0", 1))[0]


def _line(tried: Tried) -> str:
    name = f"{tried.settings.family}, windows of {tried.settings.window}"
    if tried.found is None:
        return f"  {name}: {tried.refused}"
    how = f"{tried.found.value:.3f} ({tried.found.auc:.3f} less {tried.found.spread:.3f})"
    cost = f"{tried.window_s * 1e3:.2g} ms a window, {tried.graph_bytes / 1e6:.2g} MB, tried in {tried.spent_s:.0f} s"
    return f"  {name}: {how}, {cost}"


def _as_json(choice: Choice, out: Path, bundle: Path | None) -> str:
    import msgspec

    def shown(tried: Tried) -> dict[str, object]:
        return {
            "family": tried.settings.family,
            "options": dict(tried.settings.options),
            "window": tried.settings.window,
            "hop": tried.settings.hop,
            "value": None if tried.found is None else tried.found.value,
            "auc": None if tried.found is None else tried.found.auc,
            "spread": None if tried.found is None else tried.found.spread,
            "window_s": tried.window_s,
            "graph_bytes": tried.graph_bytes,
            "refused": tried.refused,
        }

    answer = {
        "chosen": shown(choice.best),
        "why": choice.why,
        "tried": [shown(tried) for tried in choice.tried],
        "run": str(out),
        "bundle": None if bundle is None else str(bundle),
    }
    return msgspec.json.format(msgspec.json.encode(answer), indent=2).decode()

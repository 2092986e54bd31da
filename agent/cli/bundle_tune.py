"""`stethos bundle tune`: measure which form of each model runs fastest on this box, and in which batches, for the next start."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.options import print_json, with_json

if TYPE_CHECKING:
    from agent.infer.tuned import Tuned


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@with_json
def tune(*, config: Path, as_json: bool) -> None:
    """Measure the bundles of CONFIG as its [inference] runs them. A form that misses its golden vectors here is left out.

    What is found is kept in the state folder and used from the next start on, for as long as models, hardware, ONNX Runtime and
    [inference] stay the same. Run it as the user that runs stethos, while little else runs.
    """
    from agent.config.partial import check_for_replay
    from agent.infer.tuned import remember
    from agent.infer.tuning import tune as measure

    models = check_for_replay(config)
    cache = models.inference.cache
    assert cache is not None, "a configuration always has a state folder"
    found: dict[str, Tuned] = {}
    for machine in models.machines.values():
        bundle = machine.bundle
        name = f"{bundle.manifest.name} {bundle.manifest.version}"
        if name not in found:
            found[name] = measure(bundle, models.inference, told=functools.partial(_measuring, name))
            remember(found[name], cache)
    if as_json:
        print_json(found)
        return
    for name, tuned in found.items():
        for line in _lines(name, tuned):
            click.echo(line)


def _measuring(name: str, form: str) -> None:
    click.echo(f"{name}: measuring {form} ...", err=True)


def _lines(name: str, tuned: Tuned) -> list[str]:
    sizes = ", ".join(map(str, tuned.batch_sizes))
    lines = [f"{name}: {tuned.variant} on {tuned.provider}, in batches of {sizes}"]
    for variant, of in tuned.milliseconds.items():
        rates = "  ".join(f"{size}: {int(size) * 1e3 / taken:,.0f}" for size, taken in of.items())
        lines.append(f"  {variant:<5} windows/s by batch: {rates}")
    lines += [f"  {variant:<5} left out: {why}" for variant, why in tuned.left_out.items()]
    return lines

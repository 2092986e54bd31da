"""`stethos demo`: the main job on real plant data, from training to the alarm, in two minutes."""

from __future__ import annotations

from pathlib import Path

import click


def _broker(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, int] | None:
    if value is None:
        return None
    host, colon, port = value.rpartition(":")
    if not (colon and host and port.isdecimal() and 0 < int(port) < 65_536):
        raise click.BadParameter("write HOST:PORT, as in localhost:1883")
    return host.strip("[]"), int(port)


@click.command()
@click.option("--no-train", is_flag=True, help="Take the committed bundle; needs no torch.")
@click.option(
    "--broker", callback=_broker, metavar="HOST:PORT", help="A broker that speaks MQTT v5, instead of the embedded one."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="stethos-demo",
    show_default=True,
    help="Where files go.",
)
@click.option(
    "--fault", type=click.IntRange(1, 21), default=1, show_default=True, help="Disturbance of Downs and Vogel 1993."
)
@click.pass_context
def demo(ctx: click.Context, *, no_train: bool, broker: tuple[str, int] | None, out: Path, fault: int) -> None:
    """Train, ship and run a model on the Tennessee Eastman process, and wait for the alarm.

    Exit code 0 only if the fault was alarmed after its onset and not before. Disturbances 3, 9 and 15 are known to be nearly
    invisible in this data.
    """
    import signal
    import sys

    from rich.console import Console

    from agent.demo.screen import Screen
    from agent.demo.story import Options, run

    # A demo that is ended from outside takes its broker and its daemon with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = Options(out=out.absolute(), train=not no_train, fault=fault, broker=broker)
    ctx.exit(0 if run(options, Screen(Console())) else 1)

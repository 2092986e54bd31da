"""`stethos record`: what the devices send, kept byte for byte, before there is a model; and its samples for training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.logs import set_up_logging

if TYPE_CHECKING:
    from agent.collect import Collected

_GIB = 1024**3


class _RunUnlessNamed(click.Group):
    """A group whose command may be left out: `record agent.toml` is `record run agent.toml`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = not args or args[0] in {*self.commands, *ctx.help_option_names}
        return super().parse_args(ctx, args if named else ["run", *args])


@click.group(cls=_RunUnlessNamed)
def record() -> None:
    """Record what devices send: `stethos record agent.toml --out DIR`; `stethos record export` decodes it."""


@record.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where the recording goes."
)
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Stop after so long; else at Ctrl-C.")
@click.option(
    "--max-gib", type=click.FloatRange(min=0.02), default=4.0, show_default=True, help="Beyond it the oldest go first."
)
@click.pass_context
def run(ctx: click.Context, *, config: Path, out: Path, seconds: float | None, max_gib: float) -> None:
    """Read the devices of CONFIG and record them; upstream, trust and machines may still be missing there.

    What --out holds already is kept, as an earlier session. Exit code 1 where nothing came or not all of it was written.
    """
    set_up_logging("error")
    import signal
    import threading

    from agent.clock import SystemClock
    from agent.collect import collect
    from agent.config.partial import check_for_recording

    found = check_for_recording(config)
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    state = collect(
        found, out, round(max_gib * _GIB), stop=stop, clock=SystemClock(), show=_Line().show, seconds=seconds
    )
    click.echo(_summary(state))
    for device in found.devices:
        click.echo(f"  {device}: {state.bytes[device]} bytes")
    for where, error in state.errors.items():
        click.echo(f"  {where}: {error}", err=True)
    ctx.exit(0 if state.bytes and not state.dropped_bytes else 1)


class _Line:
    """One line that is written over on a terminal, and now and then a new one in a log."""

    _LOG_EVERY_S = 60.0

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._due_s = 0.0

    def show(self, state: Collected) -> None:
        if self._terminal:
            click.echo(f"\r\x1b[K{_summary(state)}", nl=False, err=True)
        elif state.elapsed_s >= self._due_s:
            self._due_s += self._LOG_EVERY_S
            click.echo(_summary(state), err=True)


def _summary(state: Collected) -> str:
    silent = f", failing: {', '.join(state.errors)}" if state.errors else ""
    return (
        f"{state.elapsed_s:.0f} s: {state.written_bytes} bytes of {len(state.bytes)} devices recorded, "
        f"{state.dropped_bytes} dropped{silent}"
    )


@record.command()
@click.argument("recording", type=click.Path(path_type=Path))
@click.option("--device", required=True, help="Whose samples.")
@click.option("--profile", "profile_name", required=True, help="How to read them: a name, or a path ending in .toml.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The CSV file to write.")
def export(*, recording: Path, device: str, profile_name: str, out: Path) -> None:
    """Decode the samples of one device of the RECORDING into a CSV file for `stethos model train`."""
    import csv

    from agent.config.profiles import profile_named
    from agent.record.reading import Recording
    from agent.record.samples import batches, csv_rows

    profile = profile_named(profile_name, "--profile")
    count = 0
    with out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["t_ns", *profile.channel_names])
        for batch in batches(Recording(recording).steps(), profile, device):
            writer.writerows(csv_rows(batch))
            count += len(batch)
    click.echo(f"{out}: {count} samples of {device}")

"""`stethos commission`: learn a machine on its own box from its normal operation, and say how sure that is."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from agent.cli.logs import set_up_logging
from agent.cli.options import login, print_json, with_config, with_json
from agent.errors import ConfigError, Problem

if TYPE_CHECKING:
    from agent.commission import Estimate
    from agent.config.partial import Models
    from agent.decide.commissioning import Commissioning
    from agent.decide.support import Support
    from agent.record.reading import Step

_GIB = 1024**3
_SOONEST_S, _LATEST_S = 2.0, 60.0  # from one look at how sure it is to the next


@click.command()
@click.argument("machine")
@with_config
@click.option("--recording", type=click.Path(path_type=Path), help="Learn from the recording in this folder.")
@click.option(
    "--live",
    type=click.Path(path_type=Path, file_okay=False),
    help="Record into this folder until the data support the budget, then learn; the agent must be stopped.",
)
@click.option("--show", is_flag=True, help="Show what was learnt, and change nothing.")
@click.option("--remove", is_flag=True, help="Forget what was learnt: the bundle's own calibration counts again.")
@click.option("--since", metavar="TIME", help="Normal operation begins here, RFC 3339: 2026-01-31T14:00:00Z.")
@click.option("--until", metavar="TIME", help="And ends here.")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), help="With --live: stop after so many hours.")
@click.option("--max-gib", type=click.FloatRange(min=0.02), default=4.0, show_default=True, help="With --live.")
@click.option("--keep-levels", is_flag=True, help="Fit no offsets: calibrate the channels as they are read.")
@click.option("--accept", is_flag=True, help="Keep the result though the data do not support the budget.")
@click.option("--by", default=login, show_default="the login name", help="Who commissions.")
@click.option("--comment", default="", help="Under which conditions, for whoever reads it later.")
@with_json
@click.pass_context
def commission(
    ctx: click.Context, /, *, machine: str, config: Path, recording: Path | None, live: Path | None, **given: Any
) -> None:
    """Learn MACHINE from its normal operation: offsets of its channels, and the calibration of its scores, kept apart from its model.

    Exit code 1 where the data do not support its budget of false alarms; then it says how much longer to record, and nothing is kept.
    """
    chosen = [recording is not None, live is not None, given["show"], given["remove"]]
    if sum(chosen) != 1:
        raise click.UsageError("choose one of --recording DIR, --live DIR, --show and --remove")
    if given["show"] or given["remove"]:
        _show_or_remove(machine, config, remove=given["remove"], as_json=given["as_json"])
        return
    from agent.config.partial import check_for_replay

    models = check_for_replay(config)
    if live is not None:
        _record(models, machine, config, live, hours=given["hours"], max_bytes=round(given["max_gib"] * _GIB))
    folder = live or recording
    assert folder is not None, "one of the two was given"
    what, told = _learnt(models, machine, folder, given)
    budget = models.machines[machine].config.false_alarms
    kept = told.sufficient or given["accept"]
    if kept:
        _write(_file(config, machine), what)
    if given["as_json"]:
        print_json({"kept": kept, "support": msgspec.structs.asdict(told), "commissioning": what})
    else:
        for line in _lines(what):
            click.echo(line)
        click.echo(f"  {told.words(budget)}")
        click.echo(_conclusion(config, machine, kept=kept))
    ctx.exit(0 if kept else 1)


def _learnt(models: Models, machine: str, folder: Path, given: dict[str, Any]) -> tuple[Commissioning, Support]:
    from datetime import UTC, datetime

    from agent.commission import Note, learn
    from agent.decide.support import support

    note = Note(
        by=given["by"],
        comment=given["comment"],
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        from_ns=_time_ns("--since", given["since"]),
        to_ns=_time_ns("--until", given["until"]),
        keep_levels=given["keep_levels"],
    )
    what = learn(models, machine, lambda: _watched(folder), note)
    return what, support(what.calibration, models.machines[machine].false_alarms_per_hour)


def _time_ns(option: str, text: str | None) -> int | None:
    from datetime import datetime

    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}; write a time like 2026-01-31T14:00:00Z") from error
    if found.tzinfo is None:
        raise click.UsageError(f"{option}: say the zone too, as in 2026-01-31T14:00:00Z")
    return round(found.timestamp() * 1e9)


def _watched(folder: Path) -> Iterator[Step]:
    """The recording's steps, beside a bar of the bytes read where somebody watches."""
    from rich.console import Console
    from rich.progress import Progress

    from agent.record.reading import Recording

    recording = Recording(folder)
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("learning", total=recording.size_bytes)
        for step in recording.steps():
            progress.update(task, completed=recording.read_bytes)
            yield step


def _record(models: Models, machine: str, config: Path, folder: Path, *, hours: float | None, max_bytes: int) -> None:
    """Until the data support the budget, the hours are over, or somebody stops it; what was recorded is kept in any case."""
    set_up_logging("error")
    import signal

    from agent.clock import SystemClock
    from agent.collect import collect
    from agent.commission import Estimate, machine_named
    from agent.config.commands import control_socket
    from agent.config.load import load
    from agent.config.partial import check_for_recording
    from agent.control.client import NoAgentError, connected

    machine_named(models, machine)
    try:
        with connected(control_socket(load(config).config, config.parent)):
            remedy = "stop it, or let it record ([record]) and give that folder as --recording"
            raise ConfigError([Problem("--live", "the agent is running, and holds the devices", remedy)])
    except NoAgentError:
        pass
    stop, estimate = threading.Event(), Estimate(models, machine)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    looks = _Looks(estimate, models.machines[machine].config.false_alarms, stop, wait=hours is None)
    seconds = None if hours is None else hours * 3_600
    collect(
        check_for_recording(config),
        folder,
        max_bytes,
        stop=stop,
        clock=SystemClock(),
        show=lambda state: looks.show(state.elapsed_s),
        seconds=seconds,
        taken=estimate.take,
    )


class _Looks:
    """Says now and then how sure a calibration would be by now, and stops the recording when that is enough."""

    def __init__(self, estimate: Estimate, budget: str, stop: threading.Event, *, wait: bool) -> None:
        """`wait` for the data to be enough; else the time alone ends it."""
        self._estimate, self._budget, self._stop, self._wait = estimate, budget, stop, wait
        self._due_s = 0.0

    def show(self, elapsed_s: float) -> None:
        if elapsed_s < self._due_s:
            return
        self._due_s = elapsed_s + min(max(elapsed_s / 4, _SOONEST_S), _LATEST_S)
        told = self._estimate.support()
        words = "too early to say how long it takes" if told is None else told.words(self._budget)
        seen = f"{self._estimate.windows} windows, {self._estimate.unknown} unknown"
        click.echo(f"{elapsed_s / 3_600:.2f} h: {seen}; {words}", err=True)
        if self._wait and told is not None and told.sufficient:
            self._stop.set()


def _file(config: Path, machine: str) -> Path:
    from agent.config.commissioning import commissioning_file
    from agent.config.load import load

    return commissioning_file(config.parent / load(config).config.agent.state, machine)


def _write(file: Path, what: Commissioning) -> None:
    """Whole or not at all, whenever the power fails."""
    from agent.config.rights import as_owner_of, create_private
    from agent.decide.commissioning import encode

    try:
        with as_owner_of(file.parent.parent):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = file.with_suffix(".new")
            with os.fdopen(create_private(draft), "wb") as opened:
                opened.write(encode(what))
                opened.flush()
                os.fsync(opened.fileno())
            draft.replace(file)
    except OSError as error:
        raise ConfigError(
            [Problem(str(file), f"cannot be written: {error.strerror}", "run as the agent's user")]
        ) from error


def _show_or_remove(machine: str, config: Path, *, remove: bool, as_json: bool) -> None:
    from agent.decide.commissioning import decode

    file = _file(config, machine)
    try:
        if remove:
            file.unlink()
            click.echo(f"{file} is removed; it counts until the agent is started anew")
            return
        what = decode(file.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError([Problem(str(file), f"'{machine}' was not commissioned on this box")]) from error
    except (OSError, ValueError) as error:
        raise ConfigError([Problem(str(file), str(error), "commission the machine anew, or --remove it")]) from error
    if as_json:
        print_json(what)
        return
    for line in _lines(what):
        click.echo(line)


def _lines(what: Commissioning) -> Iterator[str]:
    from agent.upstream.payloads import rfc3339

    calibration = what.calibration
    yield f"{what.machine}, bundle {what.bundle}, by {what.by} at {what.created}{': ' if what.comment else ''}{what.comment}"
    yield (
        f"  {calibration.hours:.3g} h of normal operation from {rfc3339(what.from_ns)} to {rfc3339(what.to_ns)}: "
        f"{what.windows} windows, {calibration.clusters} separate excursions"
    )
    for name, correction in zip(what.channels, what.corrections, strict=True):
        if (correction.scale, correction.offset) != (1.0, 0.0):
            yield f"  {name}: the model is shown {correction.scale:.4g} times the reading {correction.offset:+.4g}"
    for state, own in what.calibrations.items():
        yield f"  state '{state}': {own.hours:.3g} h, {own.clusters} separate excursions"
    yield from (f"  {remark}" for remark in what.remarks)


def _conclusion(config: Path, machine: str, *, kept: bool) -> str:
    if kept:
        return f"kept in {_file(config, machine)}; it counts once the agent is started anew"
    return "nothing is kept: record for longer, or take it as it is with --accept"

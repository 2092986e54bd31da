"""`stethos bundle install|list|activate|rollback|shadow|promote`: through the running agent, or on its store while none runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.asking import ask
from agent.cli.options import login, print_json, with_config, with_json

if TYPE_CHECKING:
    from agent.bundles.report import BundleReport, Kept, KeptBundle
    from agent.bundles.slots import Slots
    from agent.config.partial import Desk
    from agent.rollout.offline import Offline

_PROVING_S = 300.0  # a large model on a small box


def _change(command: Callable[..., Any]) -> Callable[..., Any]:
    """What every change takes: who, why."""
    for decorate in (
        with_json,
        with_config,
        click.option("--comment", help="Why; it goes into the audit journal."),
        click.option("--by", default=login, show_default="the login name", help="Who does it."),
    ):
        command = decorate(command)
    return command


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_change
def install(*, file: Path, **given: Any) -> None:
    """Verify the bundle in FILE, prove it on this box, and keep it beside the one that runs; 'activate' runs it.

    The first bundle of a name is active at once. A machine means it by its name: bundle = "NAME".
    """
    _do("bundle.install", {"file": str(file.absolute())}, lambda store: store.install(file), **given)


@click.command()
@click.argument("name")
@_change
def activate(*, name: str, **given: Any) -> None:
    """Run the other bundle NAME, on probation: the agent goes back from it by itself where it fails."""
    _do("bundle.activate", {"bundle": name}, lambda store: store.activate(name), **given)


@click.command()
@click.argument("name")
@_change
def rollback(*, name: str, **given: Any) -> None:
    """Run the earlier bundle NAME again; the one that ran is barred until somebody activates it."""
    why = given["comment"] or f"rolled back by {given['by']}"
    _do("bundle.rollback", {"bundle": name}, lambda store: store.roll_back(name, why), **given)


@click.command()
@click.argument("name")
@click.option("--stop", is_flag=True, help="End the comparison.")
@_change
def shadow(*, name: str, stop: bool, **given: Any) -> None:
    """Compare the other bundle NAME with the one that runs, on live data; 'list' shows how they agree."""
    _do("bundle.shadow", {"bundle": name, "stop": stop}, lambda store: store.shadow(name, stop=stop), **given)


@click.command()
@click.argument("name")
@_change
def promote(*, name: str, **given: Any) -> None:
    """End the comparison or the probation of the bundle NAME well."""
    _do("bundle.promote", {"bundle": name}, lambda store: store.promote(name), **given)


@click.command(name="list")
@with_config
@with_json
def list_(*, config: Path, as_json: bool) -> None:
    """List the bundles that this box keeps: which run, which wait, what is tried."""
    import msgspec

    from agent.bundles.report import Kept
    from agent.control.client import NoAgentError

    try:
        found = msgspec.convert(ask(config, "bundle.list", {}, _PROVING_S), Kept)
    except NoAgentError:
        found = _stored(config)
    if as_json:
        print_json(found)
        return
    for report in found.bundles.values():
        for line in _lines(report):
            click.echo(line)
    for file in found.refused:
        click.echo(f"{file} was refused: see {file}.refused in the folder 'refused' of the inbox")
    if not found.bundles:
        click.echo("no bundle is kept: machines run the files that their `bundle` names")


COMMANDS = (install, list_, activate, rollback, shadow, promote)


def _do(
    command: str,
    fields: Mapping[str, Any],
    offline: Callable[[Offline], Slots],
    *,
    by: str,
    comment: str | None,
    config: Path,
    as_json: bool,
) -> None:
    import msgspec

    from agent.bundles.report import BundleReport
    from agent.control.client import NoAgentError

    said = {} if comment is None else {"comment": comment}
    try:
        found = msgspec.convert(ask(config, command, {**fields, "by": by, **said}, _PROVING_S), BundleReport)
    except NoAgentError:
        found = _while_no_agent_runs(config, by, offline)
    if as_json:
        print_json(found)
        return
    for line in _lines(found):
        click.echo(line)


def _while_no_agent_runs(config: Path, by: str, change: Callable[[Offline], Slots]) -> BundleReport:
    from agent.bundles.report import report_of
    from agent.bundles.store import locked_store
    from agent.config.partial import check_for_bundles
    from agent.rollout.offline import Offline

    desk = check_for_bundles(config)
    with locked_store(desk.state) as store:
        slots = change(Offline(store, desk.prover, by))
    return report_of(slots, _watching(desk, slots.name))


def _stored(config: Path) -> Kept:
    from agent.bundles.report import Kept, report_of
    from agent.bundles.store import read_store
    from agent.config.partial import check_for_bundles

    desk = check_for_bundles(config)
    store = read_store(desk.state)
    return Kept(
        bundles={name: report_of(store.slots(name), _watching(desk, name)) for name in store.names()}, refused=[]
    )


def _watching(desk: Desk, name: str) -> list[str]:
    return [machine for machine, bundle in desk.machines.items() if bundle == name]


def _lines(report: BundleReport) -> Iterator[str]:
    """A bundle for people."""
    machines = f", watches {', '.join(report.machines)}" if report.machines else ""
    yield f"{report.name}: {_told(report.running) if report.running else 'none'} runs{machines}"
    if report.other is not None:
        yield f"  beside it {_told(report.other)}{_role(report.other)}"
    if report.trial is not None:
        yield f"  {'on probation' if report.trial == 'probation' else 'in the shadow'}, begun {report.begun} times"
    if (seen := report.probation) is not None:
        took = "" if seen.latency_ms is None else f", {seen.latency_ms:.3g} ms a window"
        yield f"    {seen.ran_s:.0f} s, {seen.windows} windows, {seen.alarms} alarms, {seen.failures} failures{took}"
    if (found := report.compared) is not None:
        yield f"    {found.windows} windows compared, {found.dropped} dropped, {found.failures} failures"
        yield f"    agreement {_number(found.agreement)}, correlation {_number(found.correlation)}"
        yield f"    alarms {found.candidate_alarms} against {found.incumbent_alarms}"
        yield f"    {_number(found.candidate_ms)} against {_number(found.incumbent_ms)} ms a window"
    for why in report.unmet:
        yield f"    not promoted yet: {why}"


def _told(kept: KeptBundle) -> str:
    return f"version {kept.version} (release {kept.counter}, sha256 {kept.sha256[:12]})"


def _role(kept: KeptBundle) -> str:
    if kept.barred is not None:
        return f", barred: {kept.barred}"
    return ", good before" if kept.proven else ", never run"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"

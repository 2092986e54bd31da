"""`stethos alarms`: what stands, what was, what to do about it, and what operators say of it, through the running agent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from agent.cli.alarm_journal import history, verify
from agent.cli.asking import ask, in_words
from agent.cli.options import login, print_json, with_config, with_json


def _act(command: Callable[..., Any]) -> Callable[..., Any]:
    """What every act takes: which alarm, who, why."""
    for decorate in (
        with_json,
        with_config,
        click.option("--point", default="model", show_default=True, help="With --machine: the rule's NAME.SIDE."),
        click.option("--machine", help="Instead of ALARM: a machine, whose point need not have an alarm now."),
        click.option("--comment", required=True, help="Why; it goes into the audit journal."),
        click.option("--by", default=login, show_default="the login name", help="Who does it."),
        click.argument("alarm", required=False),
    ):
        command = decorate(command)
    return command


def _with_verdict(command: Callable[..., Any]) -> Callable[..., Any]:
    true = click.option("--true", "verdict", flag_value="true", help="The machine really deviated.")
    false = click.option("--false", "verdict", flag_value="false", help="It was a false alarm.")
    return true(false(command))


@click.group()
def alarms() -> None:
    """See alarms, act on them, and read and verify the audit journal of all that happened to them."""


alarms.add_command(history)
alarms.add_command(verify)


@alarms.command(name="list")
@click.option("--machine", help="Of this machine only.")
@with_config
@with_json
def list_(*, machine: str | None, config: Path, as_json: bool) -> None:
    """List the alarms that stand, and the points that are hidden."""
    found = ask(config, "alarms.list", _of(machine))
    if as_json:
        print_json(found)
        return
    for alarm in found["alarms"]:
        _head(alarm)
        for advice in _advice(alarm):
            click.echo(f"    {advice}")
    for hidden in found["hidden"]:
        override = hidden["override"]
        until = f" until {in_words(override['until_ns'])}" if override["until_ns"] is not None else ""
        what = f"{hidden['machine']}.{hidden['point']} is {hidden['state'].replace('_', ' ')}{until}"
        click.echo(f"{what}, by {override['by']}: {override['comment']}")
    if not found["alarms"]:
        click.echo("no alarm stands")


@alarms.command()
@click.argument("alarm")
@with_config
@with_json
def show(*, alarm: str, config: Path, as_json: bool) -> None:
    """Show all that is known of ALARM (its id), which stands: its channels, what to do, and earlier alarms that it is like."""
    found = next((each for each in ask(config, "alarms.list", {})["alarms"] if each["id"] == alarm), None)
    if found is None:
        raise click.ClickException(f"no alarm '{alarm}' stands; `stethos alarms past` shows earlier ones")
    if as_json:
        print_json(found)
        return
    _head(found)
    click.echo(f"    raised {in_words(found['raised_ns'])}, {found['occurrences']} times")
    for channel in found["channels"]:
        mean = "no value" if channel["mean"] is None else f"mean {channel['mean']:.4g} {channel['unit']}"
        click.echo(f"    {channel['share']:4.0%}  {channel['channel']}: {mean}")
    for advice in _advice(found):
        click.echo(f"    to do: {advice}")
    for similar in found["similar"]:
        click.echo(f"    {similar['similarity']:4.0%} like {_past(similar)}, {similar['lasted_s']:.0f} s long")
    if found["judged"] is not None:
        click.echo(f"    {_said(found['judged'])}")


@alarms.command()
@click.option("--machine", help="Of this machine only.")
@with_config
@with_json
def past(*, machine: str | None, config: Path, as_json: bool) -> None:
    """List earlier alarms, the latest last, with what operators said of them; the agent remembers 50 of each machine."""
    found = ask(config, "alarms.past", _of(machine))
    if as_json:
        print_json(found)
        return
    for alarm in found["alarms"]:
        lead = max(alarm["shares"], key=alarm["shares"].__getitem__, default="no channel")
        click.echo(f"{_past(alarm)}, led by {lead}")
    if not found["alarms"]:
        click.echo("no alarm is remembered")


@alarms.command()
@_with_verdict
@_act
def ack(*, verdict: str | None, **given: Any) -> None:
    """Acknowledge ALARM (its id), and say whether it was a true one: the published rate of false alarms counts what was not."""
    _do("alarms.ack", **given, more={} if verdict is None else {"verdict": verdict})


@alarms.command()
@_with_verdict
@_act
def judge(*, verdict: str | None, **given: Any) -> None:
    """Say whether ALARM, which may be over, was a true one; it needs no acknowledgement, and changes no state."""
    if verdict is None:
        raise click.UsageError("say --true or --false")
    _do("alarms.judge", **given, more={"verdict": verdict})


@alarms.command()
@_act
def reset(**given: Any) -> None:
    """Reset ALARM, which is latched, once its cause is over and it is acknowledged."""
    _do("alarms.reset", **given)


@alarms.command()
@click.option("--for", "for_", metavar="DURATION", help='For how long: "8h".')
@click.option("--until", metavar="TIME", help="Until when, RFC 3339: 2026-01-31T14:00:00Z.")
@_act
def shelve(*, for_: str | None, until: str | None, **given: Any) -> None:
    """Put ALARM aside for a time, seven days at most."""
    if (for_ is None) == (until is None):
        raise click.UsageError("say --for how long, or --until when")
    _do("alarms.shelve", **given, more={"for": for_} if until is None else {"until": until})


@alarms.command()
@_act
def unshelve(**given: Any) -> None:
    """Take ALARM back before its time is over."""
    _do("alarms.unshelve", **given)


@alarms.command()
@_act
def remove(**given: Any) -> None:
    """Take ALARM out of service, until it is returned."""
    _do("alarms.remove", **given)


@alarms.command(name="return")
@_act
def return_(**given: Any) -> None:
    """Return ALARM to service."""
    _do("alarms.return", **given)


def _do(
    command: str,
    *,
    alarm: str | None,
    by: str,
    comment: str,
    machine: str | None,
    point: str,
    config: Path,
    as_json: bool,
    more: dict[str, Any] | None = None,
) -> None:
    if (alarm is None) == (machine is None):
        raise click.UsageError("name the alarm by its id, or with --machine (and --point): exactly one of the two")
    place = {"alarm": alarm} if machine is None else {"machine": machine, "point": point}
    done = ask(config, command, {**place, "by": by, "comment": comment, **(more or {})})
    if as_json:
        print_json(done)
    else:
        until = "" if done["until_ns"] is None else f" until {in_words(done['until_ns'])}"
        click.echo(f"{done['machine']}.{done['point']} is {done['state'].replace('_', ' ')}{until}")


def _of(machine: str | None) -> dict[str, str]:
    return {} if machine is None else {"machine": machine}


def _head(alarm: dict[str, Any]) -> None:
    first = ", first out" if alarm["first_out"] else ""
    click.echo(f"{alarm['id']}  {alarm['priority']}  {alarm['state'].replace('_', ' ')}{first}")
    click.echo(f"    {alarm['sentence'] or 'not explained'}")


def _advice(alarm: dict[str, Any]) -> list[str]:
    """What to do: the word of whoever set the alarm up goes first, then the profiles'."""
    guidance = [alarm["guidance"]] if alarm["guidance"] else []
    return guidance + [f"{each['channel']}: {each['text']}" for each in alarm["actions"]]


def _past(alarm: dict[str, Any]) -> str:
    return f"{alarm['id']}, {_said(alarm)}"


def _said(words: dict[str, Any]) -> str:
    if words["verdict"] is not None:
        return f"a {words['verdict']} alarm says {words['by']}: {words['comment']}"
    return f"{words['by']}: {words['comment']}" if words["comment"] else "nobody said anything of it"

"""`stethos alarms`: what stands, what to do about it, and the audit journal of what was done, through the running agent."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

if TYPE_CHECKING:
    from agent.decide.journal import Verification
    from agent.outbox.history import Page

_CONFIG = Path("/etc/stethos/agent.toml")
_PAGE = 500
_config = click.option(
    "--config", type=click.Path(path_type=Path), default=_CONFIG, show_default=True, help="The agent's file."
)
_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


def _login() -> str:
    """Who sits at the keyboard, behind sudo too; the agent notes beside it which user the kernel saw."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def _act(command: Callable[..., Any]) -> Callable[..., Any]:
    """What every act takes: which alarm, who, why."""
    for decorate in (
        _json,
        _config,
        click.option("--point", default="model", show_default=True, help="With --machine: the rule's NAME.SIDE."),
        click.option("--machine", help="Instead of ALARM: a machine, whose point need not have an alarm now."),
        click.option("--comment", required=True, help="Why; it goes into the audit journal."),
        click.option("--by", default=_login, show_default="the login name", help="Who does it."),
        click.argument("alarm", required=False),
    ):
        command = decorate(command)
    return command


@click.group()
def alarms() -> None:
    """See alarms, act on them, and read and verify the audit journal of all that happened to them."""


@alarms.command(name="list")
@click.option("--machine", help="Of this machine only.")
@_config
@_json
def list_(*, machine: str | None, config: Path, as_json: bool) -> None:
    """List the alarms that stand, and the points that are hidden."""
    found = _ask(config, "alarms.list", {} if machine is None else {"machine": machine})
    if as_json:
        _print_json(found)
        return
    for alarm in found["alarms"]:
        first = ", first out" if alarm["first_out"] else ""
        click.echo(f"{alarm['id']}  {alarm['priority']}  {alarm['state'].replace('_', ' ')}{first}")
        click.echo(f"    {alarm['sentence'] or 'not explained'}")
        if alarm["guidance"]:
            click.echo(f"    {alarm['guidance']}")
    for hidden in found["hidden"]:
        override = hidden["override"]
        until = f" until {_time(override['until_ns'])}" if override["until_ns"] is not None else ""
        what = f"{hidden['machine']}.{hidden['point']} is {hidden['state'].replace('_', ' ')}{until}"
        click.echo(f"{what}, by {override['by']}: {override['comment']}")
    if not found["alarms"]:
        click.echo("no alarm stands")


@alarms.command()
@click.option("--true", "verdict", flag_value="true", help="The machine really deviated.")
@click.option("--false", "verdict", flag_value="false", help="It was a false alarm.")
@_act
def ack(*, verdict: str | None, **given: Any) -> None:
    """Acknowledge ALARM (its id), and say whether it was a true one: the published rate of false alarms counts what was not."""
    _do("alarms.ack", **given, more={} if verdict is None else {"verdict": verdict})


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


@alarms.command()
@click.option("--limit", type=click.IntRange(1, _PAGE), default=50, show_default=True, help="How many records.")
@click.option("--before", type=click.IntRange(min=1), help="Only records before this number.")
@_config
@_json
def history(*, limit: int, before: int | None, config: Path, as_json: bool) -> None:
    """Show the newest records of the audit journal, newest first; from the outbox's file where no agent runs."""
    from agent.commands.catalogue import History
    from agent.control.client import NoAgentError
    from agent.outbox.history import answer, journal_of

    query = {"limit": limit} | ({} if before is None else {"before": before})
    try:
        found = _ask(config, "alarms.history", query)
    except NoAgentError:
        with journal_of(_outbox(config)) as journal:
            found = answer(journal, History(limit=limit, before=before))
    if as_json:
        _print_json(found)
        return
    for record in found["records"]:
        click.echo(_line(record))


@alarms.command()
@click.option(
    "--head", metavar="SEQ:HASH", help="A newest record that the agent's health once showed: it must be in the journal."
)
@_config
@_json
@click.pass_context
def verify(ctx: click.Context, *, head: str | None, config: Path, as_json: bool) -> None:
    """Verify the audit journal's chain. Exit code 1 where a record was altered, removed or put in, 0 where none was."""
    from agent.decide.journal import Head, Verifier

    expected = _head(head)
    verifier, seen = None, expected is None
    for page in _pages(config):
        verifier = verifier or Verifier(page.anchor)
        seen = seen or page.anchor == expected
        for sealed in page.records:
            verifier.add(sealed)
            seen = seen or Head(sealed.seq, sealed.hash) == expected
    assert verifier is not None, "there is one page at least"
    result = verifier.result()
    known = seen or (expected is not None and expected.seq < result.pruned)
    if as_json:
        _print_json({**msgspec.to_builtins(result), "head_found": None if expected is None else known})
    else:
        _report(result)
        if not known:
            click.echo(f"record {head} is not in it: its end was cut off, or it was written anew")
    ctx.exit(0 if result.broken is None and known else 1)


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
    done = _ask(config, command, {**place, "by": by, "comment": comment, **(more or {})})
    if as_json:
        _print_json(done)
    else:
        until = "" if done["until_ns"] is None else f" until {_time(done['until_ns'])}"
        click.echo(f"{done['machine']}.{done['point']} is {done['state'].replace('_', ' ')}{until}")


def _ask(config: Path, command: str, fields: dict[str, Any]) -> Any:
    from agent.config.commands import control_socket
    from agent.config.load import load
    from agent.control.client import connected

    with connected(control_socket(load(config).config, config.parent)) as client:
        return client.ask(command, fields)


def _pages(config: Path) -> Iterator[Page]:
    """The whole journal, from the running agent or else from its file."""
    from agent.commands.catalogue import History
    from agent.config.commands import control_socket
    from agent.config.load import load
    from agent.control.client import NoAgentError, connected
    from agent.outbox.history import Page, answer, journal_of

    def all_of(ask: Callable[[int], Page]) -> Iterator[Page]:
        after = 0
        while True:
            page = ask(after)
            yield page
            if not page.records:
                return
            after = page.records[-1].seq

    try:
        with connected(control_socket(load(config).config, config.parent)) as client:
            yield from all_of(lambda after: client.ask("alarms.history", {"after": after, "limit": _PAGE}, Page))
    except NoAgentError:
        with journal_of(_outbox(config)) as journal:
            yield from all_of(lambda after: answer(journal, History(after=after, limit=_PAGE)))


def _outbox(config: Path) -> Path:
    from agent.config.load import load

    return config.parent / load(config).config.agent.state / "outbox.db"


def _head(text: str | None) -> Any:
    from agent.decide.journal import Head

    if text is None:
        return None
    seq, _, digest = text.partition(":")
    if not seq.isdecimal() or len(digest) != 64:
        raise click.UsageError("--head is SEQ:HASH, a number and 64 hexadecimal digits")
    return Head(int(seq), digest)


def _report(result: Verification) -> None:
    pruned = f"; records up to {result.pruned} were given up as too old" if result.pruned else ""
    click.echo(f"{result.records} records, the newest is {result.head.seq}:{result.head.hash}{pruned}")
    for seq, opening in result.openings:
        ranges = [f"{first}" if first == last else f"{first} to {last}" for first, last in opening.missing]
        missing = f"; missing: {', '.join(ranges)}" if ranges else ""
        click.echo(f"a new chain begins with record {seq}: {opening.reason}{missing}")
    click.echo("intact" if result.broken is None else f"broken at record {result.broken.seq}: {result.broken.why}")


def _line(record: dict[str, Any]) -> str:
    """One record for people."""
    if "entry" not in record:
        return f"{record['seq']}  ALTERED: see `stethos alarms verify`"
    entry = record["entry"]
    head = f"{record['seq']}  {_time(record['recorded_ns'])}"
    if entry.get("kind") == "transition":
        what = f"{entry['machine']}.{entry['point']}: {entry['action']}, {entry['before']} -> {entry['after']}"
    elif entry.get("kind") == "response":
        what = f"{entry['response']} for {entry['alarm']}: {entry['what']}: {entry['outcome']}"
    else:
        what = str(entry.get("command") or entry.get("reason") or entry.get("kind"))
    by = f", by {entry['by']}" if "by" in entry else ""
    comment = f": {entry['comment']}" if entry.get("comment") else ""
    return f"{head}  {what}{by}{comment}"


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _print_json(answer: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())

"""`stethos outbox`: what waits for the broker in a stopped agent's file, whether the file is sound, its messages out and in again."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.options import print_json, with_config, with_json

if TYPE_CHECKING:
    from agent.outbox.offline import Examination
    from agent.outbox.store import Outbox

_file = click.option(
    "--file", type=click.Path(path_type=Path), help="This file instead, one that was moved aside as damaged perhaps."
)


@click.group()
def outbox() -> None:
    """See, examine, export and put back what waits for the broker, while the agent is stopped."""


@outbox.command()
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="How many messages to name.")
@_file
@with_config
@with_json
def ls(*, limit: int, file: Path | None, config: Path, as_json: bool) -> None:
    """List what waits, in the order in which it will be sent."""
    from agent.outbox.offline import reading
    from agent.outbox.salvage import messages_of

    rows, total_bytes = Counter[str](), Counter[str]()
    first: list[dict[str, Any]] = []
    with reading(path := file or _outbox_of(config)) as connection:
        for _, message in messages_of(connection):
            kind = message.kind.name.lower()
            rows[kind] += 1
            total_bytes[kind] += len(message.payload)
            if len(first) < limit:
                first.append(
                    {
                        "key": message.key,
                        "kind": kind,
                        "topic": message.topic,
                        "created_ns": message.created_ns,
                        "bytes": len(message.payload),
                    }
                )
    if as_json:
        waiting = {kind: {"rows": rows[kind], "bytes": total_bytes[kind]} for kind in rows}
        print_json({"file": str(path), "waiting": waiting, "messages": first})
        return
    for each in first:
        click.echo(
            f"{each['kind']:<8} {_time(each['created_ns'])} {each['bytes']:>7} bytes  {each['topic']}  {each['key']}"
        )
    if rows.total() > len(first):
        click.echo(f"... and {rows.total() - len(first)} more")
    click.echo(", ".join(f"{rows[kind]} {kind} ({total_bytes[kind]:,} bytes)" for kind in rows) or "nothing waits")


@outbox.command()
@click.option(
    "--salvage", is_flag=True, help="Replace a damaged file by what can be read of it, as the agent's start does."
)
@_file
@with_config
@with_json
@click.pass_context
def fsck(ctx: click.Context, *, salvage: bool, file: Path | None, config: Path, as_json: bool) -> None:
    """Examine every page and every row. Exit code 1 where the file is damaged and was not replaced."""
    from agent.outbox.offline import examine

    path = file or _outbox_of(config)
    found = examine(path)
    moved_to = _salvaged(path, config) if found.problems and salvage else None
    if as_json:
        fields = {"messages": found.messages, "states": found.states, "records": found.records}
        moved = None if moved_to is None else str(moved_to)
        print_json({"file": str(path), "problems": found.problems, "readable": fields, "moved_to": moved})
    else:
        _report(path, found, moved_to)
    ctx.exit(1 if found.problems and moved_to is None else 0)


@outbox.command()
@click.option("-o", "--output", type=click.File("wb", lazy=True), default="-", help="Where to; else standard output.")
@_file
@with_config
def export(*, output: Any, file: Path | None, config: Path) -> None:
    """Write each message that waits, and can be read, as one line of JSON; nothing is changed."""
    from agent.outbox.offline import export as lines_of

    for line in lines_of(file or _outbox_of(config)):
        output.write(line + b"\n")


@outbox.command()
@click.argument("lines", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@with_config
@with_json
def replay(*, lines: Path, config: Path, as_json: bool) -> None:
    """Put the messages of LINES, which `export` wrote, back to wait for the broker; their keys stay, so that consumers drop repeats."""
    from agent.outbox.offline import messages_from, put_back

    with lines.open("rb") as checked:
        for _ in messages_from(checked, str(lines)):
            pass  # a bad line is told before anything is put in
    store = _opened(_outbox_of(config), config)
    try:
        before = store.counters["entered"]
        with lines.open("rb") as given:
            put_back(store, messages_from(given, str(lines)), _max_bytes(config))
        entered, there = store.counters["entered"] - before, store.counters["duplicates"]
    finally:
        store.close()
    if as_json:
        print_json({"entered": entered, "already_there": there})
    else:
        click.echo(f"{entered} messages wait again, {there} were there already")


def _salvaged(path: Path, config: Path) -> Path | None:
    """Where the damaged file lies now."""
    store = _opened(path, config)
    try:
        return store.recovered.moved_to if store.recovered else None
    finally:
        store.close()


def _opened(path: Path, config: Path) -> Outbox:
    import uuid

    from agent.clock import SystemClock
    from agent.config.load import load
    from agent.errors import OutboxError
    from agent.outbox.store import Outbox
    from agent.upstream.compose import Composer
    from agent.upstream.topics import Topics

    if not path.exists():
        raise OutboxError(f"{path}: there is no such file; has the agent ever run with this configuration?")
    settings = load(config).config
    composer = Composer(Topics(settings.upstream.base, settings.agent.id), uuid.uuid4().hex, {})
    return Outbox.open(
        path, settings.outbox.max_bytes, composer.gap, SystemClock(), journal_records=settings.outbox.journal_records
    )


def _max_bytes(config: Path) -> int:
    from agent.config.load import load

    return load(config).config.outbox.max_bytes


def _outbox_of(config: Path) -> Path:
    from agent.config.load import load

    return config.parent / load(config).config.agent.state / "outbox.db"


def _report(path: Path, found: Examination, moved_to: Path | None) -> None:
    for problem in found.problems:
        click.echo(problem)
    what = f"{found.messages} messages, {found.states} states, {found.records} records of the journal"
    if not found.problems:
        click.echo(f"{path} is sound: {what}")
    elif moved_to is None:
        click.echo(
            f"{path} is damaged; what can be read: {what}; the agent's next start replaces it, as --salvage does"
        )
    else:
        click.echo(f"{path} was replaced by what can be read: {what}; the damaged file is now {moved_to}")


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""`stethos alarms history` and `verify`: the audit journal, through the running agent or from its file where none runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from agent.cli.asking import ask, in_words
from agent.cli.options import print_json, with_config, with_json

if TYPE_CHECKING:
    from agent.decide.journal import Verification
    from agent.outbox.history import Page

_PAGE = 500


@click.command()
@click.option("--limit", type=click.IntRange(1, _PAGE), default=50, show_default=True, help="How many records.")
@click.option("--before", type=click.IntRange(min=1), help="Only records before this number.")
@with_config
@with_json
def history(*, limit: int, before: int | None, config: Path, as_json: bool) -> None:
    """Show the newest records of the audit journal, newest first; from the outbox's file where no agent runs."""
    from agent.commands.catalogue import History
    from agent.config.rights import as_owner_of
    from agent.control.client import NoAgentError
    from agent.outbox.history import answer, journal_of

    query = {"limit": limit} | ({} if before is None else {"before": before})
    try:
        found = ask(config, "alarms.history", query)
    except NoAgentError:
        with as_owner_of(_outbox(config).parent), journal_of(_outbox(config)) as journal:
            found = answer(journal, History(limit=limit, before=before))
    if as_json:
        print_json(found)
        return
    for record in found["records"]:
        click.echo(_line(record))


@click.command()
@click.option(
    "--head", metavar="SEQ:HASH", help="A newest record that the agent's health once showed: it must be in the journal."
)
@with_config
@with_json
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
        print_json({**msgspec.to_builtins(result), "head_found": None if expected is None else known})
    else:
        _report(result)
        if not known:
            click.echo(f"record {head} is not in it: its end was cut off, or it was written anew")
    ctx.exit(0 if result.broken is None and known else 1)


def _pages(config: Path) -> Iterator[Page]:
    """The whole journal, from the running agent or else from its file."""
    from agent.commands.catalogue import History
    from agent.config.commands import control_socket
    from agent.config.load import load
    from agent.config.rights import as_owner_of
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
        with as_owner_of(_outbox(config).parent), journal_of(_outbox(config)) as journal:
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
    head = f"{record['seq']}  {in_words(record['recorded_ns'])}"
    if entry.get("kind") == "transition":
        what = f"{entry['machine']}.{entry['point']}: {entry['action']}, {entry['before']} -> {entry['after']}"
    elif entry.get("kind") == "response":
        what = f"{entry['response']} for {entry['alarm']}: {entry['what']}: {entry['outcome']}"
    else:
        what = str(entry.get("command") or entry.get("reason") or entry.get("kind"))
    by = f", by {entry['by']}" if "by" in entry else ""
    comment = f": {entry['comment']}" if entry.get("comment") else ""
    return f"{head}  {what}{by}{comment}"

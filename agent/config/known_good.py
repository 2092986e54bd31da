"""Which configuration runs: the operator's file, one from the network on trial or confirmed, or the last that ran well. Pure decisions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from agent.config.schema import Config
from agent.errors import Problem
from agent.toml_structs import Locate

Kind = Literal["file", "trial", "remote", "good"]
_MOST_UNTOLD = 32


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration: the text of the agent's file and, where they are kept with it, the profiles that it names."""

    text: str
    profiles: dict[str, str] = {}

    @property
    def sha256(self) -> str:
        """Of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration from the network; `over` is the SHA-256 of the operator's file that it stands in for."""

    contents: Contents
    over: str
    by: str


class Trial(Remote, frozen=True, kw_only=True):
    """One that goes back by itself unless it is confirmed `confirm_within_s` after it is ready; `begun` once the agent has started with it."""

    confirm_within_s: float
    begun: bool = False


class Untold(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, still to be told; `event` is a `SecurityEvent`."""

    event: str
    what: str


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """All that the box keeps of configurations, for the operator's file `path`."""

    schema: Literal["stethos/configurations/1"] = "stethos/configurations/1"
    path: str
    good: Contents | None = None
    staged: Remote | None = None
    trial: Trial | None = None
    remote: Remote | None = None  # confirmed
    untold: list[Untold] = []


class Candidate(NamedTuple):
    """One of the configurations that may run; `contents` is None for the operator's file as it lies there."""

    kind: Kind
    contents: Contents | None


class ChangeError(Exception):
    """A step that makes no sense now; the message says why."""


def begun(book: Book, file: str | None) -> tuple[Book, list[Candidate]]:
    """The agent starts, the operator's file being `file` (None where it cannot be read): what to try, best first.

    A trial has one start: whatever ended the agent before it was confirmed, reverts it. And whoever changes the file on the
    box has the last word over the network.
    """
    over = sha256_of(file)
    if book.remote is not None and book.remote.over != over:
        book = _noted(
            book, "config_reverted", "the file on the box was changed: it runs, not what was confirmed before"
        )
        book = msgspec.structs.replace(book, remote=None)
    trial = book.trial
    if trial is not None and trial.begun:
        book = reverted(book, "the agent ended before it was confirmed")
    elif trial is not None and trial.over != over:
        book = reverted(book, "the file on the box was changed meanwhile")
    elif trial is not None:
        book = msgspec.structs.replace(book, trial=msgspec.structs.replace(trial, begun=True))
    candidates = [Candidate("trial", book.trial.contents)] if book.trial is not None else []
    if book.remote is not None:
        candidates.append(Candidate("remote", book.remote.contents))
    candidates.append(Candidate("file", None))
    if book.good is not None:
        candidates.append(Candidate("good", book.good))
    return book, candidates


def ran(book: Book, kind: Kind, why_not: str) -> Book:
    """The agent runs with the candidate `kind`; those before it were refused, `why_not` says for what."""
    if book.trial is not None and kind != "trial":
        book = reverted(book, why_not)
    if kind == "good":
        book = _noted(book, "config_refused", f"the configuration that last ran well runs instead: {why_not}")
    return book


def ran_well(book: Book, contents: Contents) -> Book:
    """Fall back to this configuration from now on."""
    return msgspec.structs.replace(book, good=contents)


def staged(book: Book, contents: Contents, file: str | None, by: str) -> Book:
    """Keep a configuration that was checked, and change nothing."""
    return msgspec.structs.replace(book, staged=Remote(contents=contents, over=sha256_of(file), by=by))


def applied(book: Book, file: str | None, confirm_within_s: float) -> Book:
    """Run what is staged from the next start on, on trial."""
    if book.trial is not None:
        raise ChangeError("a configuration is on trial already: confirm it or revert it")
    if book.staged is None:
        raise ChangeError("no configuration is staged")
    if book.staged.over != sha256_of(file):
        raise ChangeError("the file on the box was changed since: stage the configuration anew")
    fields = msgspec.structs.asdict(book.staged)
    return msgspec.structs.replace(book, staged=None, trial=Trial(**fields, confirm_within_s=confirm_within_s))


def confirmed(book: Book) -> Book:
    """What is on trial stays."""
    trial = book.trial
    if trial is None or not trial.begun:
        raise ChangeError("no configuration is on trial")
    return msgspec.structs.replace(
        book, trial=None, remote=Remote(contents=trial.contents, over=trial.over, by=trial.by)
    )


def reverted(book: Book, why: str) -> Book:
    """End the trial; what ran before it runs from the next start on."""
    book = msgspec.structs.replace(book, trial=None)
    return _noted(book, "config_reverted", f"the configuration on trial is given up: {why}")


def given_up(book: Book, by: str) -> tuple[Book, bool]:
    """Somebody wants the previous one back: the trial ends, else what was confirmed, else what is staged. True where the agent must start anew."""
    if book.trial is not None:
        return msgspec.structs.replace(book, trial=None), True
    if book.remote is not None:
        return msgspec.structs.replace(book, remote=None), True
    if book.staged is not None:
        return msgspec.structs.replace(book, staged=None), False
    raise ChangeError(f"there is nothing to revert for {by}: the file on the box runs")


def lost(book: Book) -> Book:
    """What was kept before `book` cannot be read, and no copy of it either."""
    what = "what was kept of configurations is damaged: the file on the box runs, whatever was staged, on trial or confirmed"
    return _noted(book, "config_reverted", what)


def forbidden(local: Config, remote: Config, locate: Locate) -> list[Problem]:
    """What a configuration from the network may not change, since whoever may stage one could else let himself do everything."""
    changed = {
        ("agent", "id"): local.agent.id != remote.agent.id,
        ("agent", "state"): local.agent.state != remote.agent.state,
        ("commands",): local.commands != remote.commands,
        ("trust",): local.trust != remote.trust,
        ("responses",): local.responses != remote.responses,
    }
    free = set(local.commands.remote_changes)
    what = "this may be changed on the box alone"
    remedy = "leave it as the file on the box has it, or list it there in [commands] remote_changes"
    return [Problem(locate(path), what, remedy) for path, differs in changed.items() if differs and path[0] not in free]


def sha256_of(file: str | None) -> str:
    """Of the operator's file; of one that cannot be read, none."""
    return "" if file is None else Contents(text=file).sha256


def in_words(problems: Iterable[Problem]) -> str:
    """The first problem, and how many more there are."""
    first, *rest = problems
    return f"{first}" + (f", and {len(rest)} more" if rest else "")


def _noted(book: Book, event: str, what: str) -> Book:
    untold = [*book.untold, Untold(event=event, what=what)][-_MOST_UNTOLD:]
    return msgspec.structs.replace(book, untold=untold)

"""The start of the agent: the first of its configurations that proves itself runs, and why those before it do not is told."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.bundles.store import Store, running_store, store_folder
from agent.config.check import REPLACED, check
from agent.config.checked import Checked
from agent.config.known_good import Book, Candidate, Contents, Kind, begun, in_words, ran
from agent.config.load import load, load_text, read_text
from agent.config.profiles import find_profile
from agent.config.rights import claim_folder
from agent.config.shelf import Shelf, file_text, find_shelf
from agent.errors import BundleError, ConfigError, Problem

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """What runs, where it came from, and what is wrong with what should have run before it."""

    checked: Checked
    store: Store
    shelf: Shelf
    kind: Kind
    contents: Contents
    refused: tuple[Problem, ...] = ()


@contextlib.contextmanager
def started(config: Path, *, strict: bool) -> Iterator[Started]:
    """Prove what should run for the file `config`; raises ConfigError with its problems where nothing does.

    With `strict` the configuration that last ran well does not stand in for it.
    """
    shelf = find_shelf(config)
    if shelf is not None:
        _mend(shelf)
    book, candidates = _begun(shelf, config)
    refused: list[Problem] = []
    of_file: ConfigError | None = None
    for kind, contents in candidates:
        if kind == "good" and (strict or of_file is None):
            continue
        with contextlib.ExitStack() as exits:
            try:
                checked, store = _checked(config, contents, exits)
            except ConfigError as error:
                refused += error.problems
                of_file = error if kind == "file" else of_file
                continue
            for problem in refused:
                log.error("%s", problem)
            if shelf is None:
                shelf = Shelf(config, checked.state)
                _mend(shelf)
            _note(shelf, book, kind, refused)
            yield Started(checked, store, shelf, kind, _contents(config, checked, contents), tuple(refused))
            return
    raise of_file or ConfigError(refused)


def _begun(shelf: Shelf | None, config: Path) -> tuple[Book, list[Candidate]]:
    """What to try; that a trial has begun is on disk before anything of it is loaded, or it does not begin."""
    file = file_text(config)
    if shelf is None:
        return begun(Book(path=str(config.resolve())), file)
    before = shelf.read()
    book, candidates = begun(before, file)
    try:
        if book != before:
            shelf.write(book)
    except BundleError as error:
        log.error("no configuration can be tried: %s", error)
        candidates = [candidate for candidate in candidates if candidate.kind != "trial"]
    return book, candidates


def _mend(shelf: Shelf) -> None:
    try:
        shelf.mend()
    except BundleError as error:
        log.error("%s", error)


def _note(shelf: Shelf, before: Book, kind: Kind, refused: list[Problem]) -> None:
    book = ran(before, kind, in_words(refused) if refused else "")
    try:
        if book != before:
            shelf.write(book)
    except BundleError as error:
        log.error("which configuration runs is not told later: %s", error)


def _checked(config: Path, contents: Contents | None, exits: contextlib.ExitStack) -> tuple[Checked, Store]:
    loaded = (load(config) if contents is None else load_text(contents.text, REPLACED)).config
    state, most_starts = config.parent / loaded.agent.state, loaded.bundles.probation.starts
    claim_folder(state, f"{config}: agent.state")
    # A model that ends the agent while it is loaded must have been counted before; with no store there is none to count.
    store = exits.enter_context(running_store(state, most_starts)) if store_folder(state).is_dir() else None
    checked = check(config, instead=contents)
    for warning in checked.warnings:
        log.warning("%s", warning)
    return checked, store or exits.enter_context(running_store(state, most_starts))


def _contents(config: Path, checked: Checked, contents: Contents | None) -> Contents:
    """The text that runs, with the profiles that it names as they are now."""
    if contents is not None and contents.profiles:
        return contents
    text = contents.text if contents is not None else read_text(config)
    names = {device.profile for device in checked.config.device}
    return Contents(text=text, profiles={name: read_text(find_profile(name, config.parent)) for name in sorted(names)})

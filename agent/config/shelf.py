"""The book of configurations on disk, in the state folder: found again even where the operator's file no longer says where that is."""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.bundles import twice
from agent.bundles.folder import DiskFolder
from agent.bundles.sealed import seal, unseal
from agent.config.known_good import Book, lost
from agent.config.schema import Agent
from agent.errors import BundleError

log = logging.getLogger(__name__)

FILE = "configurations.json"
_MOST_BYTES = 4 * 1024 * 1024


class Shelf:
    """One book in one state folder; for one thread at a time."""

    def __init__(self, config: Path, state: Path) -> None:
        """`config` is the operator's file."""
        self.config = config
        self._name = str(config.resolve())
        self._folder = DiskFolder(state)

    def read(self) -> Book:
        """The book, an empty one where there is none, or none of this file; raises BundleError where it cannot be read."""
        book = twice.read(self._folder, FILE, _MOST_BYTES, _book)
        return book if book is not None and book.path == self._name else Book(path=self._name)

    def write(self, book: Book) -> None:
        """Make this the book; raises BundleError where the disk fails."""
        twice.write(self._folder, FILE, seal(book))

    def mend(self) -> None:
        """Set a damaged book aside: its copy takes its place, or one that tells of nothing but the loss; raises BundleError."""
        twice.mend(self._folder, FILE, _MOST_BYTES, _book, seal(lost(Book(path=self._name))))


def _book(data: bytes) -> Book:
    try:
        return unseal(data, Book)
    except ValueError as error:
        raise BundleError(f"{FILE} in the state folder cannot be read: {error}; remove it") from error


def file_text(config: Path) -> str | None:
    """The operator's file as it is now, None where it cannot be read."""
    try:
        return config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def find_shelf(config: Path, environ: Mapping[str, str] = os.environ) -> Shelf | None:
    """The shelf of the first state folder that has a book of this file; None where the agent has never run well with it."""
    for state in _state_folders(config, environ):
        shelf = Shelf(config, state)
        try:
            book = shelf.read()
        except BundleError as error:
            log.warning("%s", error)
            continue
        if book != Book(path=book.path):
            return shelf
    return None


def _state_folders(config: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    """What the file says, as far as it can be read; then what systemd says; then the default."""
    text = file_text(config)
    if text is not None and (named := _named_state(text)) is not None:
        yield config.parent / named
    if environ.get("STATE_DIRECTORY"):
        yield Path(environ["STATE_DIRECTORY"].partition(":")[0])
    yield config.parent / Agent(id="").state


def _named_state(text: str) -> str | None:
    """[agent] state of a file that may be broken further down."""
    lines = text.splitlines()
    while lines:
        try:
            table = tomllib.loads("\n".join(lines)).get("agent")
        except (ValueError, RecursionError):
            lines = lines[: -max(1, len(lines) // 8)]
            continue
        state = table.get("state") if isinstance(table, dict) else None
        return state if isinstance(state, str) and state else None
    return None

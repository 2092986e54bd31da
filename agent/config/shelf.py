"""The book of configurations on disk, in the state folder: found again even where the operator's file no longer says where that is."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from agent.bundles.folder import DiskFolder, replace
from agent.config.known_good import Book
from agent.config.schema import Agent
from agent.errors import UNREADABLE, BundleError

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
        data = self._folder.read(FILE, _MOST_BYTES)
        if data is None:
            return Book(path=self._name)
        try:
            book = msgspec.json.decode(data, type=Book)
        except UNREADABLE as error:
            raise BundleError(f"{FILE} in the state folder cannot be read: {error}; remove it") from error
        return book if book.path == self._name else Book(path=self._name)

    def write(self, book: Book) -> None:
        """Make this the book; raises BundleError where the disk fails."""
        replace(self._folder, FILE, msgspec.json.encode(book))


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
        except BundleError:
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

"""A folder whose changes survive a power cut once they are synced, and the fake that a test can pull the plug of."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Protocol

from agent.errors import BundleError

_UNFINISHED = ".new"


class Folder(Protocol):
    """Files by name. Every method raises BundleError, with the path and a remedy, where the disk fails."""

    def names(self) -> list[str]:
        """Of all that lies in it, sorted."""
        ...

    def read(self, name: str, most_bytes: int) -> bytes | None:
        """A file's first bytes, one more than `most_bytes` where it has them; None where there is no such file."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Make a file anew; its bytes are on disk when this returns, its name may not be."""
        ...

    def rename(self, name: str, to: str) -> None:
        """Move a file over another, at once or not at all."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, where it is there."""
        ...

    def sync(self) -> None:
        """Wait until all names are on disk."""
        ...


def replace(folder: Folder, name: str, data: bytes) -> None:
    """Make `data` the contents of a file: whatever happens, the file holds what it held, or all of this; and this once it returns."""
    folder.write(name + _UNFINISHED, data)
    folder.rename(name + _UNFINISHED, name)
    folder.sync()


def remove_unfinished(folder: Folder) -> None:
    """What a power cut left of files that were being written."""
    for name in folder.names():
        if name.endswith(_UNFINISHED):
            folder.remove(name)


class DiskFolder:
    """A folder on disk, private to its owner; it is made where it is missing and something is written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        with self._mapped(self._path):
            try:
                return sorted(entry.name for entry in os.scandir(self._path))
            except FileNotFoundError:
                return []

    def read(self, name: str, most_bytes: int) -> bytes | None:
        path = self._path / name
        with self._mapped(path):
            try:
                with path.open("rb") as file:
                    return file.read(most_bytes + 1)
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> None:
        path = self._path / name
        with self._mapped(path):
            if not self._path.is_dir():
                self._path.mkdir(mode=0o700, parents=True)
                _sync(self._path.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())

    def rename(self, name: str, to: str) -> None:
        with self._mapped(self._path / to):
            (self._path / name).rename(self._path / to)

    def remove(self, name: str) -> None:
        with self._mapped(self._path / name):
            (self._path / name).unlink(missing_ok=True)

    def sync(self) -> None:
        with self._mapped(self._path):
            _sync(self._path)

    @contextlib.contextmanager
    def _mapped(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BundleError(
                f"{path}: {error.strerror or error}; let the agent's user write there, or mend the disk"
            ) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class PowerCut(Exception):  # noqa: N818 - no error of a program
    """The plug of a `FakeFolder` was pulled."""


class FakeFolder:
    """A folder in memory. `steps_left` pulls the plug: that many changes are made, and the next one raises PowerCut half done.

    After `power_cut` it holds what a disk would: of the changes of names since the last sync any, each in its place; and of a file that was
    being written a part.
    """

    def __init__(self) -> None:
        self.steps_left: int | None = None
        self._files: dict[str, bytes] = {}
        self._synced: dict[str, bytes] = {}
        self._since: list[Callable[[dict[str, bytes]], None]] = []

    def names(self) -> list[str]:
        return sorted(self._files)

    def read(self, name: str, most_bytes: int) -> bytes | None:
        data = self._files.get(name)
        return None if data is None else data[: most_bytes + 1]

    def write(self, name: str, data: bytes) -> None:
        if self.steps_left == 0:
            self._change(lambda files: files.update({name: data[: len(data) // 2]}))
        self._step()
        self._change(lambda files: files.update({name: data}))

    def rename(self, name: str, to: str) -> None:
        self._step()
        moved = self._files[name]

        def change(files: dict[str, bytes]) -> None:
            files.pop(name, None)
            files[to] = moved

        self._change(change)

    def remove(self, name: str) -> None:
        self._step()

        def change(files: dict[str, bytes]) -> None:
            files.pop(name, None)

        self._change(change)

    def sync(self) -> None:
        self._step()
        self._synced, self._since = dict(self._files), []

    def power_cut(self, random: Random) -> None:
        """Forget whatever was not synced, but for what a disk happened to have written already."""
        files = dict(self._synced)
        for change in self._since:
            if random.random() < 0.5:
                change(files)
        self._files, self._synced, self._since, self.steps_left = files, dict(files), [], None

    def _step(self) -> None:
        if self.steps_left == 0:
            raise PowerCut
        if self.steps_left is not None:
            self.steps_left -= 1

    def _change(self, change: Callable[[dict[str, bytes]], None]) -> None:
        change(self._files)
        self._since.append(change)

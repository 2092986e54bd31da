"""Engines on disk, each in a folder of its own: written whole or not at all, verified before use, bounded in number and bytes."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.errors import UNREADABLE, InferenceError
from agent.infer.engine_key import EngineKey
from agent.metrics import Counters

log = logging.getLogger(__name__)

MAX_ENGINES = 8
MAX_BYTES = 1024 * 1024 * 1024
_ENTRY = "entry.json"
_UNFINISHED = ".building-"
_MOST_TOLD = 400


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What lies in a folder: the SHA-256 of each file that the engine consists of, or why this box must not build it again."""

    key: EngineKey
    files: dict[str, str] = {}
    refused: str | None = None


class EngineCache:
    """The engines in `folder`, which is made when the first is built. One process writes, any may look.

    counters: found, missed, damaged, adopted, refused, removed.
    """

    def __init__(self, folder: Path, *, max_engines: int = MAX_ENGINES, max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder
        self.counters = Counters()
        self._max_engines = max_engines
        self._max_bytes = max_bytes

    def find(self, key: EngineKey) -> Path | None:
        """The folder of this very engine, every byte of it as it was built; a damaged one is removed. None: build it."""
        entry = self._read(key)
        if entry is None or entry.refused is not None:
            self.counters.add("missed")
            return None
        folder = self.folder / key.name
        try:
            _check_files(folder, entry)
        except (OSError, ValueError) as error:
            self._drop_damaged(folder, error)
            return None
        with contextlib.suppress(OSError):  # whoever only looks may not be allowed to
            os.utime(folder / _ENTRY)  # it was used: the one that was not for longest goes first
        self.counters.add("found")
        return folder

    def refusal(self, key: EngineKey) -> str | None:
        """Why this engine must not be built again, None where it may be."""
        entry = self._read(key)
        return None if entry is None else entry.refused

    @contextlib.contextmanager
    def begin(self) -> Iterator[Path]:
        """An empty folder to build an engine in, for `adopt` to take; what is left of it at the end is removed."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.folder))
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        try:
            yield unfinished
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def adopt(self, key: EngineKey, built: Path) -> Path:
        """Take the files in `built` for the engine of `key` and remove those whose place it takes; a power cut leaves the old, the new, or none.

        Raises InferenceError where there is nothing in it, where it alone is larger than all may be, and where the disk refuses.
        """
        try:
            files = sorted(path for path in built.iterdir() if path.is_file())
            bytes_ = sum(path.stat().st_size for path in files)
            if not files or bytes_ > self._max_bytes:
                raise InferenceError(
                    f"the engine has {len(files)} files of {bytes_} bytes, at most {self._max_bytes} may be kept"
                )
            for path in files:
                _sync(path)
            folder = self._enter(Entry(key=key, files={path.name: _sha256(path) for path in files}), built)
            self._make_room(key)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        self.counters.add("adopted")
        return folder

    def refuse(self, key: EngineKey, why: str) -> None:
        """Remember that the engine of `key` fails here, and remove it, so that no start builds it again."""
        self.counters.add("refused")
        with self.begin() as built:
            try:
                self._enter(Entry(key=key, refused=why[:_MOST_TOLD]), built)
                self._make_room(key)
            except OSError as error:
                raise _unwritable(self.folder, error) from error

    def clear_unfinished(self) -> None:
        """Remove what a power cut left half built; for the process that builds, before it does."""
        for folder in self.folder.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _read(self, key: EngineKey) -> Entry | None:
        folder = self.folder / key.name
        try:
            entry = msgspec.json.decode((folder / _ENTRY).read_bytes(), type=Entry)
            _check_entry(entry, key)
        except FileNotFoundError:
            if folder.exists():
                self._drop_damaged(folder, f"{_ENTRY} is missing")
            return None
        except (*UNREADABLE, OSError, ValueError) as error:
            self._drop_damaged(folder, error)
            return None
        return entry

    def _enter(self, entry: Entry, built: Path) -> Path:
        """What `entry` says of it goes last into the folder, and then the folder to its place, each step on the disk before the next."""
        (built / _ENTRY).write_bytes(msgspec.json.encode(entry))
        _sync(built / _ENTRY)
        _sync(built)
        folder = self.folder / entry.key.name
        if folder.exists():
            self._remove(folder)
        built.rename(folder)
        _sync(self.folder)
        return folder

    def _make_room(self, newest: EngineKey) -> None:
        """Remove what `newest` replaces, then the engines that were not used for longest, until the bounds hold."""
        kept: list[tuple[float, Path, int]] = []
        for folder in self.folder.iterdir():
            if folder.name == newest.name or folder.name.startswith(_UNFINISHED) or not folder.is_dir():
                continue
            entry = _glance(folder)
            if entry is None or newest.replaces(entry.key):
                self._remove(folder)
            else:
                kept.append(((folder / _ENTRY).stat().st_mtime, folder, _bytes_in(folder)))
        kept.sort(reverse=True)
        total = _bytes_in(self.folder / newest.name)
        for count, (_, folder, bytes_) in enumerate(kept, start=2):
            total += bytes_
            if count > self._max_engines or total > self._max_bytes:
                self._remove(folder)

    def _drop_damaged(self, folder: Path, why: object) -> None:
        log.warning("the engine in %s is damaged, it is removed and built again: %s", folder, why)
        self.counters.add("damaged")
        self._remove(folder)

    def _remove(self, folder: Path) -> None:
        """First out of sight in one step, so that a power cut leaves no half of it under its name."""
        gone = folder.with_name(f"{_UNFINISHED}{folder.name}")
        shutil.rmtree(gone, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        self.counters.add("removed")


def _check_entry(entry: Entry, key: EngineKey) -> None:
    if entry.key != key:
        raise ValueError(f"{_ENTRY} is that of another engine")
    if _ENTRY in entry.files or any(Path(name).name != name for name in entry.files):
        raise ValueError(f"{_ENTRY} names files that no engine has")


def _check_files(folder: Path, entry: Entry) -> None:
    for name, digest in entry.files.items():
        if _sha256(folder / name) != digest:
            raise ValueError(f"{name} is not what was built (SHA-256 differs)")


def _sha256(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _glance(folder: Path) -> Entry | None:
    try:
        return msgspec.json.decode((folder / _ENTRY).read_bytes(), type=Entry)
    except (OSError, ValueError):
        return None


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _sync(path: Path) -> None:
    """A file's or a folder's content to the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _unwritable(folder: Path, error: OSError) -> InferenceError:
    return InferenceError(
        f"no engine can be kept in {folder}: {error.strerror or error}; free space on the disk, or mend it"
    )

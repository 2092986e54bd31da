"""The outbox's files on disk: private from the start, a damaged one replaced in one step, room set aside for a disk that is full."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from agent.types import NANOSECONDS

_BALLAST_BYTES = 1024 * 1024  # for the log, which even a deletion writes
_RESERVE_BYTES = 768 * 1024  # for the database file, which a young box's alarms must make grow
_SPARE_BYTES = 4 * 1024 * 1024
_DAMAGED_KEPT = 2


def prepare(path: Path) -> None:
    """Create the folder (0700) and the file (0600) where missing; SQLite gives its log the file's permissions."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _finish_replacing(path)
    _create(path)
    set_room_aside(path)


def begin_replacement(path: Path) -> Path:
    """An empty file beside `path`, which is to hold what `path` held."""
    replacement = _replacement_of(path)
    replacement.unlink(missing_ok=True)  # of a start that was cut off
    _create(replacement)
    return replacement


def replace_damaged(path: Path, now_ns: int) -> Path:
    """Put the replacement, complete and closed, in the place of the damaged file, which gets a name with the time.

    Only the newest few such are kept. Cut off anywhere, the next `prepare` brings it to its end, or all begins anew.
    """
    _sync(_replacement_of(path))
    stamp = datetime.fromtimestamp(now_ns // NANOSECONDS, UTC).strftime("%Y%m%dT%H%M%S")
    target = path.with_name(f"{path.name}.damaged-{stamp}.{now_ns % NANOSECONDS:09d}")
    path.rename(target)
    _finish_replacing(path)
    for old in sorted(path.parent.glob(f"{path.name}.damaged-*[0-9]"))[:-_DAMAGED_KEPT]:
        old.unlink()
    return target


def release_ballast(path: Path) -> None:
    """Free a little space, so that SQLite can write the log that even a deletion needs."""
    _ballast_of(path).unlink(missing_ok=True)


def draw_reserve(path: Path, size_bytes: int) -> int:
    """Free up to `size_bytes` of the reserve, so that the database file can grow by that much; returns what there was."""
    reserve = _reserve_of(path)
    held_bytes = _size_bytes(reserve)
    drawn_bytes = max(0, min(size_bytes, held_bytes))
    if drawn_bytes:
        os.truncate(reserve, held_bytes - drawn_bytes)
    return drawn_bytes


def log_bytes(path: Path) -> int:
    """The size of SQLite's write-ahead log."""
    return _size_bytes(path.with_name(f"{path.name}-wal"))


def set_room_aside(path: Path) -> bool:
    """Set ballast and reserve aside (again) where the disk has room to spare; True where both lie there whole now."""
    wanted = {_ballast_of(path): _BALLAST_BYTES, _reserve_of(path): _RESERVE_BYTES}
    lacking = {file: size_bytes for file, size_bytes in wanted.items() if _size_bytes(file) < size_bytes}
    if lacking and shutil.disk_usage(path.parent).free < _SPARE_BYTES:
        return False
    return all(_allocate(file, size_bytes) for file, size_bytes in lacking.items())


def _allocate(path: Path, size_bytes: int) -> bool:
    held_bytes = _size_bytes(path)
    _create(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
    except OSError:  # a quota can be tighter than the disk: then there is nothing to spare
        os.ftruncate(descriptor, held_bytes)
        return False
    finally:
        os.close(descriptor)
    return True


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _finish_replacing(path: Path) -> None:
    """With the damaged file out of the way, its log goes, which SQLite would apply to any file of that name."""
    replacement = _replacement_of(path)
    if path.exists() or not replacement.exists():
        return
    path.with_name(f"{path.name}-wal").unlink(missing_ok=True)
    replacement.rename(path)
    _sync(path.parent)


def _create(path: Path) -> None:
    """For its owner alone, who is the folder's: what root makes there with a command is for the service to use."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.geteuid() == 0:
            folder = path.parent.stat()
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replacement_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.replacement")


def _ballast_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.ballast")


def _reserve_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.reserve")

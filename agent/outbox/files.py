"""The outbox's files on disk: private from the start, a damaged one moved aside, a ballast to free when the disk is full."""

from __future__ import annotations

import contextlib
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from agent.types import NANOSECONDS

_BALLAST_BYTES = 1024 * 1024
_DAMAGED_KEPT = 2


def prepare(path: Path) -> None:
    """Create the folder (0700) and the file (0600) where missing; SQLite gives its log the file's permissions."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    restore_ballast(path)


def move_aside(path: Path, now_ns: int) -> Path:
    """Rename a damaged database and its log to a name with the time; only the newest few such are kept."""
    stamp = datetime.fromtimestamp(now_ns // NANOSECONDS, UTC).strftime("%Y%m%dT%H%M%S")
    target = path.with_name(f"{path.name}.damaged-{stamp}.{now_ns % NANOSECONDS:09d}")
    path.rename(target)
    with contextlib.suppress(FileNotFoundError):
        _log_of(path).rename(_log_of(target))
    for old in sorted(path.parent.glob(f"{path.name}.damaged-*[0-9]"))[:-_DAMAGED_KEPT]:
        old.unlink()
        _log_of(old).unlink(missing_ok=True)
    prepare(path)
    return target


def release_ballast(path: Path) -> None:
    """Free a little space, so that SQLite can write the log that even a deletion needs."""
    _ballast_of(path).unlink(missing_ok=True)


def restore_ballast(path: Path) -> bool:
    """Set the ballast aside (again) where the disk has room to spare; True where it lies there now."""
    ballast = _ballast_of(path)
    if ballast.exists():
        return True
    if shutil.disk_usage(path.parent).free < 4 * _BALLAST_BYTES:
        return False
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, _BALLAST_BYTES)
    except OSError:  # a quota can be tighter than the disk: then there is nothing to spare
        ballast.unlink()
        return False
    finally:
        os.close(descriptor)
    return True


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _ballast_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.ballast")

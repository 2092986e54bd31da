"""Who else on this box could change what the agent relies on, and how it keeps its own files to itself."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from agent.errors import ConfigError, Problem

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class UntrustedError(ValueError):
    """A file or folder that others could have changed; the message says which, and why."""


def status(path: Path) -> os.stat_result:
    """Of the thing itself: a link could be led elsewhere."""
    try:
        return path.lstat()
    except OSError as error:
        raise UntrustedError(f"{path}: {error.strerror}") from error


def check_above(folder: Path) -> None:
    """Whoever may write there could put another thing in the place of ours, but for the sticky bit."""
    mode = status(folder.resolve()).st_mode
    if mode & WRITABLE_BY_OTHERS and not mode & stat.S_ISVTX:
        raise UntrustedError(f"{folder} can be written by others: chmod go-w")


def check_owned(path: Path, of: os.stat_result) -> None:
    """Root or this user owns it, and nobody else may write it; raises UntrustedError."""
    if of.st_uid not in {0, os.geteuid()}:
        raise UntrustedError(f"{path} belongs to user {of.st_uid}: root or this program's user must own it")
    if of.st_mode & WRITABLE_BY_OTHERS:
        raise UntrustedError(f"{path} can be written by others: chmod go-w")


def open_to_anybody(path: Path) -> Path | None:
    """`path` itself, or the folder above it, that every user of this box may change; None where there is none.

    What does not exist yet is skipped. A group that may write was given that right on purpose.
    """
    whole = path.absolute()
    for each in dict.fromkeys((whole, whole.resolve(), *whole.parents, *whole.resolve().parents)):
        try:
            mode = each.stat().st_mode
        except OSError:  # not there yet, or not to be looked into, which its own reader will say
            continue
        sticky = mode & stat.S_ISVTX and each not in {whole, whole.resolve()}
        if mode & stat.S_IWOTH and not sticky:
            return each
    return None


def claim_folder(folder: Path, where: str) -> None:
    """Make the folder for this user alone (0700), or take over the one that is there; raises ConfigError at `where`.

    One that another user put there could hold links that lead our writes elsewhere.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owners = {folder.lstat().st_uid, folder.stat().st_uid}
    except OSError as error:
        remedy = "let the user that runs stethos make it"
        raise ConfigError([Problem(where, f"{folder}: {error.strerror}", remedy)]) from error
    if strangers := owners - {0, os.geteuid()}:
        what = f"{folder} belongs to user {strangers.pop()}, and this is user {os.geteuid()}"
        raise ConfigError([Problem(where, what, "run as the user that owns it")])
    if (loose := open_to_anybody(folder)) is not None:
        raise ConfigError([Problem(where, f"everybody may write in {loose}", f"chmod o-w {loose}")])


@contextlib.contextmanager
def as_owner_of(folder: Path) -> Iterator[None]:
    """For root: act as the user that owns `folder`, who may have set links there; nothing else changes, or where there is none."""
    owner = folder.stat() if os.geteuid() == 0 and folder.exists() else None
    if owner is None or owner.st_uid == 0:
        yield
        return
    group, user = os.getegid(), os.geteuid()
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)


def create_private(path: Path) -> int:
    """A descriptor of a new file that its owner alone may read and write, in the place of whatever was there."""
    path.unlink(missing_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

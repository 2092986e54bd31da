"""Programs that an alarm may start: files of one folder, which nobody but root and this user can put there or change."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class UntrustedError(ValueError):
    """A program that must not be run; the message says why."""


def trusted_program(folder: Path, name: str) -> Path:
    """The program `name` of `folder`; raises UntrustedError.

    Looked at again before each run: what was safe at the start may have been changed since.
    """
    if not name or "/" in name or name in {".", ".."}:
        raise UntrustedError(f"'{name}' is no file's name: programs lie in {folder} itself")
    for above in folder.absolute().parents:
        _check_above(above)
    _check_owned(folder, _status(folder))
    program = folder / name
    status = _status(program)
    if not stat.S_ISREG(status.st_mode):
        raise UntrustedError(f"{program} is no plain file")
    _check_owned(program, status)
    if not os.access(program, os.X_OK):
        raise UntrustedError(f"{program} cannot be executed by this user")
    return program


def _status(path: Path) -> os.stat_result:
    """Of the thing itself: a link could be led elsewhere."""
    try:
        return path.lstat()
    except OSError as error:
        raise UntrustedError(f"{path}: {error.strerror}") from error


def _check_above(folder: Path) -> None:
    """Whoever may write there could put another folder in the place of ours, but for the sticky bit."""
    mode = _status(folder.resolve()).st_mode
    if mode & _WRITABLE_BY_OTHERS and not mode & stat.S_ISVTX:
        raise UntrustedError(f"{folder} can be written by others: chmod go-w")


def _check_owned(path: Path, status: os.stat_result) -> None:
    if status.st_uid not in {0, os.geteuid()}:
        raise UntrustedError(f"{path} belongs to user {status.st_uid}: root or this program's user must own it")
    if status.st_mode & _WRITABLE_BY_OTHERS:
        raise UntrustedError(f"{path} can be written by others: chmod go-w")

"""Puts a first configuration into its folder: checked as a whole before any of it is there, and nothing replaced unasked."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.config.check import check
from agent.config.profiles import FOLDER
from agent.errors import ConfigError, Problem

SERVICE_USER = "stethos"


@dataclass(frozen=True, slots=True)
class File:
    """What a file of the folder is to hold; a secret is for the service alone."""

    data: bytes
    secret: bool = False


def put(config: Path, files: Mapping[str, File], *, force: bool) -> Sequence[Problem]:
    """Write `files`, the agent's among them, into the folder of `config`; returns what the check warns of.

    Raises ConfigError where the check finds a problem or where a file with another content is there and `force` is not given; then
    nothing has changed.
    """
    folder = config.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not force:
            refuse_replacing(folder, files)
        with tempfile.TemporaryDirectory(prefix=".init-", dir=folder) as name:
            staging = Path(name)
            for file, content in files.items():
                _write(staging / file, content)
            warnings = _checked(staging, config)
            # The agent's file last: the rest means nothing without it.
            for file in sorted(files, key=lambda each: each == config.name):
                (staging / file).replace(folder / file)
    except OSError as error:
        what = f"cannot write into {folder}: {error.strerror}"
        raise ConfigError([Problem(str(config), what, "run it with sudo, or name another file")]) from error
    return warnings


def refuse_replacing(folder: Path, files: Mapping[str, File]) -> None:
    """Raise ConfigError for files that are there with another content."""
    there = [folder / file for file, content in files.items() if _differs(folder / file, content.data)]
    if there:
        raise ConfigError([Problem(str(path), "is there already", "--force replaces it") for path in there])


def _differs(path: Path, data: bytes) -> bool:
    return path.exists() and path.read_bytes() != data


def _write(path: Path, content: File) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.data)
    if not content.secret:
        path.chmod(0o644)
    elif os.geteuid() == 0:
        try:
            shutil.chown(path, user=pwd.getpwnam(SERVICE_USER).pw_uid)
        except KeyError:  # not installed as a service: the file stays root's
            return


def _checked(staging: Path, config: Path) -> Sequence[Problem]:
    """What `stethos check` would say of the staged files at their final place."""
    if (config.parent / FOLDER).is_dir():
        (staging / FOLDER).symlink_to(Path("..") / FOLDER)
    try:
        warnings = check(staging / config.name).warnings
    except ConfigError as error:
        raise ConfigError([_moved(problem, staging, config.parent) for problem in error.problems]) from None
    return [_moved(problem, staging, config.parent) for problem in warnings]


def _moved(problem: Problem, staging: Path, folder: Path) -> Problem:
    words = (problem.where, problem.what, problem.remedy)
    return Problem(*(text.replace(str(staging), str(folder)) for text in words))

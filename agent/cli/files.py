"""The files that commands read and write, with errors that name the file and what to do."""

from __future__ import annotations

import os
from pathlib import Path

from agent.errors import ConfigError, Problem


def read(path: Path) -> bytes:
    """The file's bytes; raises ConfigError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be read: {error.strerror}", "check the path")]) from error


def model_key(path: Path) -> bytes:
    """The key of encrypted models in the file; raises ConfigError where it holds none."""
    from agent.infer.encryption import parse_key

    try:
        return parse_key(read(path).decode(errors="replace"))
    except ValueError as error:
        raise ConfigError([Problem(str(path), str(error))]) from error


def write_new(path: Path, data: bytes, mode: int = 0o644) -> None:
    """A file that is not there yet; never replaces one: what a lost key signed could then be signed no more. Raises ConfigError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise _unwritable(path, error, "choose another name") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def rewrite(path: Path, data: bytes) -> None:
    """The file with other bytes, whole or not at all; raises ConfigError."""
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        raise _unwritable(path, error, "check the folder's rights and the disk") from error


def _unwritable(path: Path, error: OSError, remedy: str) -> ConfigError:
    return ConfigError([Problem(str(path), f"cannot be written: {error.strerror}", remedy)])

"""A small file kept twice, so that damage to one of the two costs nothing: the copy is written first, and the file itself counts."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import TypeVar

from agent.bundles.folder import Folder, replace
from agent.errors import BundleError

log = logging.getLogger(__name__)

COPY = ".copy"
DAMAGED = ".damaged"

Content = TypeVar("Content")


def write(folder: Folder, name: str, data: bytes) -> None:
    """Make `data` the contents of both; raises BundleError, and then the file holds what it held."""
    replace(folder, name + COPY, data)
    replace(folder, name, data)


def read(folder: Folder, name: str, most_bytes: int, decode: Callable[[bytes], Content]) -> Content | None:
    """What the file says, or its copy where the file is damaged; raises BundleError, with the file's fault, where both are.

    `decode` raises BundleError for bytes that are not as they were written. None where there is no file, whatever its copy says: who
    removed it meant that.
    """
    try:
        data = folder.read(name, most_bytes)
        return None if data is None else decode(data)
    except BundleError:
        with contextlib.suppress(BundleError):
            if (copied := folder.read(name + COPY, most_bytes)) is not None:
                return decode(copied)
        raise


def mend(
    folder: Folder, name: str, most_bytes: int, decode: Callable[[bytes], object], instead: bytes | None = None
) -> str | None:
    """Make both alike again; a damaged file is set aside, and its copy takes its place, or `instead` where that is damaged too.

    Returns what was wrong with the file, None where nothing was; raises BundleError where nothing can take its place.
    """
    try:
        data = _sound(folder, name, most_bytes, decode)
    except BundleError as error:
        data = _sound_copy(folder, name, most_bytes, decode) or instead
        if data is None:
            raise
        _set_aside(folder, name, most_bytes)
        _clear_away(folder, name + COPY, most_bytes)
        write(folder, name, data)
        log.error("%s; it lies aside as %s", error, name + DAMAGED)
        return str(error)
    if data is not None and _sound_copy(folder, name, most_bytes, decode) != data:
        _clear_away(folder, name + COPY, most_bytes)
        replace(folder, name + COPY, data)
    return None


def damaged(folder: Folder) -> list[str]:
    """The names of files that were set aside; they lie there until somebody removes them."""
    return [name.removesuffix(DAMAGED) for name in folder.names() if name.endswith(DAMAGED)]


def _sound(folder: Folder, name: str, most_bytes: int, decode: Callable[[bytes], object]) -> bytes | None:
    data = folder.read(name, most_bytes)
    if data is not None:
        decode(data)
    return data


def _sound_copy(folder: Folder, name: str, most_bytes: int, decode: Callable[[bytes], object]) -> bytes | None:
    with contextlib.suppress(BundleError):
        return _sound(folder, name + COPY, most_bytes, decode)
    return None


def _set_aside(folder: Folder, name: str, most_bytes: int) -> None:
    """A file stays where it is until another takes its place: a power cut must not leave none, which would be a beginning."""
    _clear_away(folder, name, most_bytes)
    if (data := folder.read(name, most_bytes)) is not None:
        replace(folder, name + DAMAGED, data)


def _clear_away(folder: Folder, name: str, most_bytes: int) -> None:
    """What cannot even be read may be a folder, and nothing can be written over one."""
    try:
        folder.read(name, most_bytes)
    except BundleError:
        folder.rename(name, name + DAMAGED)

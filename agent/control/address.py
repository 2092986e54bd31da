"""A socket's path as the kernel takes it: 107 bytes at most, however deep the folder lies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_LONGEST_BYTES = 107


@contextlib.contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """The path itself, or a short way to it through its open folder (proc(5), /proc/self/fd); raises OSError."""
    if len(os.fsencode(path)) <= _LONGEST_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)

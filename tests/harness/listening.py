"""Whoever dials a listener of a test, one after another until it is closed."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


def connections(listener: socket.socket) -> Iterator[socket.socket]:
    """For a thread of its own; `hang_up` ends it."""
    with contextlib.suppress(OSError):
        while True:
            yield listener.accept()[0]


def hang_up(listener: socket.socket) -> None:
    """A mere close would leave a thread that waits for a connection waiting."""
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()

"""Wakes a thread that waits on sockets: another thread's call turns one of them readable."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class Waker:
    """`wake` may be called from any thread, also while nobody waits; several calls before the thread looks are one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sender: socket.socket | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[socket.socket]:
        """The socket to wait on; it is not blocking, and whoever wakes up empties it."""
        receiver, sender = socket.socketpair()
        with receiver, sender:
            receiver.setblocking(False)
            sender.setblocking(False)
            with self._lock:
                self._sender = sender
            try:
                yield receiver
            finally:
                with self._lock:
                    self._sender = None

    def wake(self) -> None:
        """Turn the socket readable; never waits."""
        with self._lock:
            if self._sender is not None:
                with contextlib.suppress(BlockingIOError):  # full: it is readable
                    self._sender.send(b"\0")

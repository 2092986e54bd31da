"""An address that swallows connections: SYNs go unanswered, as behind a firewall that drops."""

from __future__ import annotations

import socket
from typing import Self


class BlackHole:
    """A listener whose backlog is full and stays full: the kernel drops every further SYN, so that connecting hangs."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self._listener = socket.create_server((self.host, 0), backlog=0)
        self.port = int(self._listener.getsockname()[1])
        self._waiting: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"mqtt://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        while self._connects():
            assert len(self._waiting) < 64, "the backlog never fills"
        return self

    def __exit__(self, *_: object) -> None:
        for each in [*self._waiting, self._listener]:
            each.close()

    def _connects(self) -> bool:
        try:
            self._waiting.append(socket.create_connection((self.host, self.port), timeout=0.2))
        except TimeoutError:
            return False
        return True

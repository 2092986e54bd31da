"""An open TCP connection with the reading and writing of a serial line: a connection that is gone told from a silent one."""

from __future__ import annotations

import select
import socket
from typing import Self

from agent.errors import LinkError

_WRITE_TIMEOUT_S = 2.0
_READ_BYTES = 64 * 1024


class TcpLine:
    """Opened at once; raises LinkError where that cannot be, and from every method once the peer is gone."""

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._name = f"{host}:{port}"
        try:
            self._socket = socket.create_connection((host, port), timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that IDNA cannot encode
            raise LinkError(f"cannot connect to {self._name}: {error}") from error
        self._socket.settimeout(_WRITE_TIMEOUT_S)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    def read(self, timeout_s: float) -> bytes:
        """What has arrived; nothing where the peer was silent for timeout_s."""
        if not self._poll.poll(timeout_s * 1_000):
            return b""
        try:
            data = self._socket.recv(_READ_BYTES)
        except OSError as error:
            raise self._gone(error) from error
        if not data:
            raise self._gone("it closed the connection")
        return data

    def write(self, data: bytes) -> None:
        """Send all of `data` within two seconds."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise self._gone(error) from error

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _gone(self, error: object) -> LinkError:
        return LinkError(f"{self._name} is gone: {error}")

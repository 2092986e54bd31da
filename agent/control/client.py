"""Asks a running agent on its Unix socket."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from agent.commands.request import RequestError
from agent.control.address import socket_address
from agent.errors import UNREADABLE, LinkError

TIMEOUT_S = 10.0
_READ_BYTES = 256 * 1024


class NoAgentError(LinkError):
    """No agent listens there."""


class _Answer(msgspec.Struct):
    status: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None


class Client:
    """One connection; use `connected`."""

    def __init__(self, sock: socket.socket, path: Path) -> None:
        self._sock = sock
        self._path = path

    def ask(
        self, command: str, fields: Mapping[str, Any], kind: type[Any] = object, timeout_s: float = TIMEOUT_S
    ) -> Any:
        """The answer's data as a `kind`; raises RequestError where the agent refuses, LinkError where it does not answer."""
        self._sock.settimeout(timeout_s)
        try:
            self._sock.sendall(msgspec.json.encode({"command": command, **fields}) + b"\n")
            line = self._line()
        except TimeoutError as error:
            what = f"{self._path}: no answer within {timeout_s:g} s; it may still be carried out: see what `list` says"
            raise LinkError(what) from error
        except OSError as error:
            raise LinkError(f"{self._path}: the agent hung up: {error.strerror or error}") from error
        try:
            answer = msgspec.json.decode(line, type=_Answer)
            if answer.status != "ok":
                raise RequestError(answer.error or "refused")
            return msgspec.json.decode(answer.data, type=kind)
        except UNREADABLE as error:
            raise LinkError(f"{self._path}: not an answer that this version understands: {error}") from error

    def _line(self) -> bytes:
        received = bytearray()
        while not received.endswith(b"\n"):
            data = self._sock.recv(_READ_BYTES)
            if not data:
                raise ConnectionResetError("it closed the connection")
            received += data
        return bytes(received)


@contextlib.contextmanager
def connected(path: Path) -> Iterator[Client]:
    """A connection to the agent that listens on `path`; raises NoAgentError where none does, LinkError where one may not be asked."""
    with contextlib.ExitStack() as exits, socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT_S)
        try:
            sock.connect(exits.enter_context(socket_address(path)))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NoAgentError(f"{path}: no agent runs here with this configuration") from error
        except PermissionError as error:
            raise LinkError(f"{path}: you may not; be in the socket's group, or use sudo") from error
        except OSError as error:
            raise LinkError(f"{path}: {error.strerror or error}") from error
        yield Client(sock, path)

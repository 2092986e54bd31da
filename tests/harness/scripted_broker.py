"""A broker of a few lines that speaks real MQTT v5 and refuses as its test says, in ways in which mosquitto does not."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self

from tests.harness.listening import connections, hang_up
from tests.harness.packets import Packets, connack, name_of, puback, published

# What to answer to a PUBLISH of this topic, message id and payload.
OnPublish = Callable[[str, bytes, bytes], bytes]
_DISCONNECT = 14


def accept(_topic: str, message_id: bytes, _payload: bytes) -> bytes:
    """Every message is welcome."""
    return puback(message_id)


class ScriptedBroker:
    """One connection at a time. `arrived` are topic and payload of what it acknowledged with success; the rest may be changed meanwhile."""

    host = "127.0.0.1"

    def __init__(self, on_publish: OnPublish = accept, greeting: bytes | None = None) -> None:
        """`greeting` is the answer to CONNECT; after a DISCONNECT of its own it closes."""
        self.on_publish = on_publish
        self.greeting = connack() if greeting is None else greeting
        self.arrived: list[tuple[str, bytes]] = []
        self.connections = 0
        self._listener = socket.create_server((self.host, 0))
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="scripted-broker", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        hang_up(self._listener)

    def _accept(self) -> None:
        for connection in connections(self._listener):
            self.connections += 1
            with connection, contextlib.suppress(OSError):
                connection.settimeout(30.0)
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        packets = Packets()
        while data := connection.recv(65_536):
            for each in packets.feed(data):
                answer = self._answer(each)
                connection.sendall(answer)
                if any(sent[0] >> 4 == _DISCONNECT for sent in Packets().feed(answer)):
                    return

    def _answer(self, data: bytes) -> bytes:
        match name_of(data):
            case "CONNECT":
                return self.greeting
            case "PUBLISH":
                topic, message_id, payload = published(data)
                answer = self.on_publish(topic, message_id, payload)
                if answer == puback(message_id):
                    self.arrived.append((topic, payload))
                return answer
            case "PINGREQ":
                return b"\xd0\x00"  # PINGRESP
            case _:
                return b""

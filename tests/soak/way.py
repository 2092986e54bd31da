"""The way to a broker, a TCP proxy that goes wrong as networks do: cut, half-open, swallowing everything, or slow."""

from __future__ import annotations

import contextlib
import enum
import socket
import threading
import time
from typing import Self

from tests.harness.listening import connections, hang_up

_SLOW_BYTES = 512
_SLOW_S = 0.1  # 5 kB/s each way
_CONNECT_S = 5.0


class State(enum.Enum):
    """What becomes of bytes and of new connections."""

    OPEN = enum.auto()
    CUT = enum.auto()  # connections end, new ones at once
    BLACK_HOLE = enum.auto()  # connections stand, new ones too, and nothing passes
    SLOW = enum.auto()


class Way:
    """Leads from its own `port` to 127.0.0.1:`target_port`."""

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._state = State.OPEN
        self._open: set[_Connection] = set()

    def become(self, state: State) -> None:
        """From now on it is that for connections old and new; what a black hole swallowed of one is gone, and so is the connection."""
        with self._lock:
            before, self._state = self._state, state
            for connection in self._open:
                connection.swallows |= state is State.BLACK_HOLE
            over = list(self._open) if state is State.CUT or before is State.BLACK_HOLE else []
        for connection in over:
            connection.end()

    def leave_half_open(self) -> None:
        """The connections that stand carry nothing any more, and nobody is told; new ones are sound."""
        with self._lock:
            for connection in self._open:
                connection.swallows = True

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="way", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.become(State.CUT)
        hang_up(self._listener)

    @property
    def state(self) -> State:
        return self._state

    def _accept(self) -> None:
        for near in connections(self._listener):
            self._join(near)

    def _join(self, near: socket.socket) -> None:
        try:
            if self._state is State.CUT:
                raise ConnectionRefusedError
            far = socket.create_connection(self._target, timeout=_CONNECT_S)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        connection = _Connection(self, near, far)
        with self._lock:
            connection.swallows = self._state is State.BLACK_HOLE
            self._open.add(connection)
        for one, other in ((near, far), (far, near)):
            threading.Thread(target=connection.carry, args=(one, other), name="way-carry", daemon=True).start()

    def forget(self, connection: _Connection) -> None:
        with self._lock:
            self._open.discard(connection)


class _Connection:
    """Two sockets, and a thread for each direction; both end with either."""

    def __init__(self, way: Way, near: socket.socket, far: socket.socket) -> None:
        self.swallows = False
        self._way, self._near, self._far = way, near, far
        self._carrying = 2
        self._lock = threading.Lock()

    def carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(_SLOW_BYTES if self._way.state is State.SLOW else 65_536):
                if not self.swallows:
                    other.sendall(data)
                if self._way.state is State.SLOW:
                    time.sleep(_SLOW_S)
        if self.swallows and self._way.state is not State.CUT:
            return self._leave()  # one end gave up: the other is not told either, until it gives up itself
        self.end()
        return self._leave()

    def end(self) -> None:
        for side in (self._near, self._far):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def _leave(self) -> None:
        with self._lock:
            self._carrying -= 1
            last = self._carrying == 0
        if last:
            self._near.close()
            self._far.close()
            self._way.forget(self)

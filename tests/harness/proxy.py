"""A cable that tests can unplug: a TCP proxy on a free loopback port in front of a broker."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self


class Proxy:
    """Passes bytes to and from 127.0.0.1:`target_port` while plugged; `cut` breaks every connection where it stands."""

    host = "127.0.0.1"

    def __init__(self, target_port: int) -> None:
        self._target = (self.host, target_port)
        self._listener = socket.create_server((self.host, 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._plugged = True
        self._answers = True
        self.turned_away = 0
        self._open: set[socket.socket] = set()

    def cut(self) -> None:
        """Unplug: what is under way in either direction is gone, and new connections end at once."""
        with self._lock:
            self._plugged = False
            for side in self._open:
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)

    def hold_back(self) -> None:
        """Swallow what the broker answers from now on, until `plug`."""
        with self._lock:
            self._answers = False

    def plug(self) -> None:
        """Let new connections, and the broker's answers, through."""
        with self._lock:
            self._plugged = self._answers = True

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                plugged = self._plugged
            if not plugged:
                near.close()
                self.turned_away += 1
                continue
            try:
                far = socket.create_connection(self._target, timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                self._open |= {near, far}
            for one, other in ((near, far), (far, near)):
                args = (one, other, one is far)
                threading.Thread(target=self._pump, args=args, name="proxy-pump", daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket, from_broker: bool) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                if self._answers or not from_broker:
                    other.sendall(data)
        with self._lock:
            for side in (one, other):
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)
            self._open.discard(one)
        one.close()

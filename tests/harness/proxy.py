"""A cable that tests can unplug, cut in the midst of a packet, let go dead without a word, and slow down: a TCP proxy before a broker."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Self

from tests.harness.listening import connections, hang_up
from tests.harness.packets import Cut

_SLICES_A_SECOND = 50
# So much of what a loaded machine oversleeps is made up for: a slow cable is as slow as it is said to be, and not slower.
_CATCH_UP_S = 0.2


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
        self._swallows = False
        self._cut_within: Cut | None = None
        self._bytes_a_second: int | None = None
        self.turned_away = 0
        self._open: set[socket.socket] = set()
        self._dead: set[socket.socket] = set()

    def cut(self) -> None:
        """Unplug: what is under way in either direction is gone, and new connections end at once."""
        with self._lock:
            self._plugged = False
            for side in self._open:
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)

    def cut_within(self, cut: Cut) -> None:
        """Break the connection there; once, and later connections stand."""
        with self._lock:
            self._cut_within = cut

    def hold_back(self) -> None:
        """Swallow what the broker answers from now on, until `plug`."""
        with self._lock:
            self._answers = False

    def half_open(self) -> None:
        """The connections that stand carry nothing any more, and neither side is told; new ones are as good as ever."""
        with self._lock:
            self._dead |= self._open

    def swallow(self) -> None:
        """As `half_open`, and new connections are accepted and carry nothing either, until `plug`."""
        with self._lock:
            self._dead |= self._open
            self._swallows = True

    def throttle(self, bytes_a_second: int) -> None:
        """Carry no more than this each way."""
        with self._lock:
            self._bytes_a_second = bytes_a_second

    def plug(self) -> None:
        """Let new connections, and the broker's answers, through."""
        with self._lock:
            self._plugged = self._answers = True
            self._swallows = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        hang_up(self._listener)

    def _accept(self) -> None:
        for near in connections(self._listener):
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
                plugged = self._plugged  # else it was cut meanwhile
                if plugged:
                    self._open |= {near, far}
                    if self._swallows:
                        self._dead |= {near, far}
            if not plugged:
                near.close()
                far.close()
                continue
            for one, other in ((near, far), (far, near)):
                args = (one, other, one is far)
                threading.Thread(target=self._pump, args=args, name="proxy-pump", daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket, from_broker: bool) -> None:
        due = 0.0
        with contextlib.suppress(OSError):
            while data := one.recv(self._slice_bytes()):
                data, last = self._passing(data, one, from_broker)
                other.sendall(data)
                if last:
                    break
                if self._bytes_a_second is not None:
                    now = time.monotonic()
                    due = max(due, now - _CATCH_UP_S) + len(data) / self._bytes_a_second
                    time.sleep(max(0.0, due - now))
        with self._lock:
            # The end of a dead connection is not told either.
            for side in (one, other) if one not in self._dead else (one,):
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)
            self._open.discard(one)
            self._dead.discard(one)
        one.close()

    def _slice_bytes(self) -> int:
        return 65_536 if self._bytes_a_second is None else max(1, self._bytes_a_second // _SLICES_A_SECOND)

    def _passing(self, data: bytes, one: socket.socket, from_broker: bool) -> tuple[bytes, bool]:
        """What of it comes through, and whether the cable breaks behind it."""
        with self._lock:
            if one in self._dead or (from_broker and not self._answers):
                return b"", False
            if self._cut_within is None or self._cut_within.from_broker != from_broker:
                return data, False
            passing, last = self._cut_within.passing(data)
            if last:
                self._cut_within = None
            return passing, last

"""A line to Modbus slaves that says what it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.clock import FakeClock


class ScriptedLine:
    """Says the `pieces` of each request's answer, one a read, then is silent for as long as it is waited for."""

    def __init__(self, clock: FakeClock, pieces: Callable[[bytes], Iterable[bytes]]) -> None:
        self._clock, self._pieces = clock, pieces
        self._left: list[bytes] = []
        self.written: list[bytes] = []

    def read(self, timeout_s: float) -> bytes:
        if self._left:
            return self._left.pop(0)
        self._clock.advance(round(timeout_s * 1e9))
        return b""

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self._left = list(self._pieces(data))

"""A source that feeds chunks from elsewhere than a wire, such as a recording: the real thing to whoever reads the buffer."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from agent.clock import Clock
from agent.sources.buffer import ChunkBuffer
from agent.sources.link import LinkStatus
from agent.types import Chunk

# A recording can wait, unlike a wire: never so fast that the buffer has to drop.
_WAIT_ABOVE_BYTES = 256 * 1024
_WAIT_S = 0.002


class ReplaySource:
    """Puts `chunks` as they are, with the arrival times that they carry, as fast as they are taken."""

    def __init__(self, chunks: Iterable[Chunk], buffer: ChunkBuffer, clock: Clock) -> None:
        self.name = "replay"
        self.status = LinkStatus()
        self._chunks = chunks
        self._buffer = buffer
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Put chunks until there are no more or `stop` is set, and stay open until it is."""
        self.status.up()
        for chunk in self._chunks:
            while self._buffer.held_bytes > _WAIT_ABOVE_BYTES and not stop.is_set():
                stop.wait(_WAIT_S)
            if stop.is_set():
                break
            self.status.last_arrival_ns[chunk.device] = self._clock.monotonic_ns()
            self._buffer.put(chunk)
        stop.wait()
        self.status.down()

"""The bounded buffer between the readers and the pipeline: putting never waits, and the oldest bytes give way to new ones."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from agent.metrics import Balance
from agent.types import Chunk

TAKE_BYTES = 1024 * 1024
# A chunk takes some 300 bytes beside its data: tiny messages, or empty ones, must not fill the memory instead.
MAX_CHUNKS = 128 * 1024


@dataclass(slots=True)
class Dropped:
    """What one device lost because the pipeline was too slow, or had ended."""

    chunks: int = 0
    bytes: int = 0


class ChunkBuffer:
    """Chunks of all devices in the order of their arrival; several readers put, one pipeline takes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._chunks: deque[Chunk] = deque()
        self._filled = threading.Condition(threading.Lock())
        self._entered_bytes = 0
        self._held_bytes = 0
        self._dropped: dict[str, Dropped] = {}
        self._closed = False

    def put(self, chunk: Chunk) -> None:
        """Add `chunk`; where the buffer would then hold more than max_bytes or MAX_CHUNKS, the oldest chunks are dropped.

        Once it is closed, `chunk` itself is.
        """
        size = len(chunk.data)
        with self._filled:
            chunks = self._chunks
            chunks.append(chunk)
            self._entered_bytes += size
            self._held_bytes += size
            if self._closed:
                self._drop_all()
            elif self._held_bytes > self._max_bytes or len(chunks) > MAX_CHUNKS:
                self._drop_oldest()
            if len(chunks) == 1:
                self._filled.notify()

    def take(self, timeout_s: float) -> list[Chunk]:
        """All that is there, oldest first, about 1 MiB at most; waits up to `timeout_s` where there is nothing."""
        with self._filled:
            if not self._chunks:
                self._filled.wait(timeout_s)
            if self._held_bytes <= TAKE_BYTES:
                taken = list(self._chunks)
                self._chunks.clear()
                self._held_bytes = 0
                return taken
            return self._take_some()

    def close(self) -> None:
        """Nobody takes any more: what is held, and what late readers still put, is dropped."""
        with self._filled:
            self._closed = True
            self._drop_all()

    @property
    def held_bytes(self) -> int:
        """Bytes that wait for the pipeline."""
        return self._held_bytes

    def dropped(self) -> dict[str, Dropped]:
        """A copy of what each device lost here."""
        with self._filled:
            return {device: Dropped(lost.chunks, lost.bytes) for device, lost in self._dropped.items()}

    def balance(self) -> Balance:
        """Bytes in, taken, waiting and dropped."""
        with self._filled:
            dropped = sum(lost.bytes for lost in self._dropped.values())
            taken = self._entered_bytes - self._held_bytes - dropped
            return Balance(self._entered_bytes, taken, self._held_bytes, dropped)

    def _drop_oldest(self) -> None:
        while self._held_bytes > self._max_bytes or len(self._chunks) > MAX_CHUNKS:
            self._drop_one()

    def _drop_all(self) -> None:
        while self._chunks:
            self._drop_one()

    def _drop_one(self) -> None:
        chunk = self._chunks.popleft()
        lost = self._dropped.setdefault(chunk.device, Dropped())
        lost.chunks += 1
        lost.bytes += len(chunk.data)
        self._held_bytes -= len(chunk.data)

    def _take_some(self) -> list[Chunk]:
        taken: list[Chunk] = []
        left_bytes = TAKE_BYTES
        while self._chunks and left_bytes > 0:
            taken.append(self._chunks.popleft())
            left_bytes -= len(taken[-1].data)
        self._held_bytes -= TAKE_BYTES - left_bytes
        return taken

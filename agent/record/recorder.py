"""The recorder: takes what the pipeline takes without ever making it wait, and writes it in a thread of its own."""

from __future__ import annotations

import logging
import threading
import uuid
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from agent import __version__
from agent.errors import RecordError
from agent.metrics import Balance
from agent.record.format import VERSION, Dropped, Opening, Taken, encode
from agent.record.ring import Ring
from agent.types import Chunk

_log = logging.getLogger(__name__)

# Beyond this a disk is too slow, and what comes next goes unrecorded.
QUEUE_BYTES = 8 * 1024 * 1024
# A chunk takes some 300 bytes beside its data.
QUEUE_CHUNKS = 128 * 1024
_WAIT_S = 0.5
# After a write that failed; recording is no reason to hammer a disk.
_RETRY_S = 1.0


class Recorder:
    """`put` is the pipeline's, `run` the body of the recorder's thread; `error` is the latest failure until a write succeeds."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.error: str | None = None
        self._session = uuid.uuid4().hex
        self._ring = Ring(folder, max_bytes, self._opening)
        self._too_slow = f"cannot record in {folder}: the disk is too slow"
        self._longest_bytes = self._ring.segment_bytes // 2  # longer chunks, with what surrounds them, fit no segment
        self._changed = threading.Condition()
        self._steps: deque[tuple[int, Sequence[Chunk]]] = deque()
        self._step = self._held_chunks = 0
        self._entered_bytes = self._held_bytes = self._dropped_bytes = 0
        self._told = Dropped(0, 0)  # of the drops, what the recording says already
        self._dropped_chunks = 0

    def put(self, chunks: Sequence[Chunk]) -> None:
        """Record what one step of the pipeline takes; never waits, and drops the step, counted, where the queue is full."""
        fitting = [chunk for chunk in chunks if len(chunk.data) <= self._longest_bytes]
        with self._changed:
            self._entered_bytes += _size(chunks)
            if len(fitting) < len(chunks):
                self._drop([chunk for chunk in chunks if len(chunk.data) > self._longest_bytes])
            if self._held_bytes + _size(fitting) > QUEUE_BYTES or self._held_chunks + len(fitting) > QUEUE_CHUNKS:
                self._drop(fitting)
                self.error = self.error or self._too_slow  # a disk that hangs never raises anything
            else:
                self._steps.append((self._step, fitting))
                self._held_bytes += _size(fitting)
                self._held_chunks += len(fitting)
                self._changed.notify()
            self._step += 1

    def run(self, stop: threading.Event) -> None:
        """Write until `stop` is set and nothing waits."""
        while not stop.is_set() or self._steps:
            steps = self._take()
            try:
                self._write(steps)
            except RecordError as error:
                self._failed(error, steps)
                stop.wait(_RETRY_S)
        self._ring.close()

    def balance(self) -> Balance:
        """Bytes of chunks: taken by the pipeline, written, waiting, dropped."""
        with self._changed:
            written = self._entered_bytes - self._held_bytes - self._dropped_bytes
            return Balance(self._entered_bytes, written, self._held_bytes, self._dropped_bytes)

    def _take(self) -> list[tuple[int, Sequence[Chunk]]]:
        with self._changed:
            if not self._steps:
                self._changed.wait(_WAIT_S)
            steps = list(self._steps)
            self._steps.clear()
            return steps

    def _write(self, steps: Sequence[tuple[int, Sequence[Chunk]]]) -> None:
        """Raises RecordError, and then some of `steps` may be in the recording."""
        if not steps:
            return
        dropped = Dropped(self._dropped_chunks, self._dropped_bytes)
        if dropped != self._told:
            self._ring.append(encode(Dropped(dropped.chunks - self._told.chunks, dropped.bytes - self._told.bytes)))
        for number, chunks in steps:
            for chunk in chunks:
                self._ring.append(encode(Taken(number, chunk)))
        self._ring.flush()
        self.error, self._told = None, dropped
        with self._changed:
            for _, chunks in steps:
                self._release(chunks)

    def _failed(self, error: RecordError, steps: Sequence[tuple[int, Sequence[Chunk]]]) -> None:
        if str(error) != self.error:
            _log.error("%s", error)
        self.error = str(error)
        with self._changed:
            for _, chunks in steps:
                self._release(chunks)
                self._drop(chunks)

    def _release(self, chunks: Sequence[Chunk]) -> None:
        self._held_bytes -= _size(chunks)
        self._held_chunks -= len(chunks)

    def _drop(self, chunks: Sequence[Chunk]) -> None:
        self._dropped_chunks += len(chunks)
        self._dropped_bytes += _size(chunks)

    def _opening(self, segment: int) -> bytes:
        return encode(Opening(VERSION, self._session, segment, __version__))


def _size(chunks: Sequence[Chunk]) -> int:
    return sum([len(chunk.data) for chunk in chunks])

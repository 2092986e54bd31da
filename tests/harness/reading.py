"""Run a source in its thread for the length of a test, and collect what it puts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from agent.sources.buffer import ChunkBuffer
from agent.sources.link import Source
from agent.types import Chunk
from tests.harness.broker import PATIENCE_S
from tests.harness.threads import at_work


@contextmanager
def running(source: Source) -> Iterator[Source]:
    """`source` runs inside; at the end it is stopped, and must be so soon: about a second, on a machine that is not loaded."""
    with at_work(source.run, ends_within_s=6.0):
        yield source


def collect(buffer: ChunkBuffer, size_bytes: int, timeout_s: float = PATIENCE_S) -> list[Chunk]:
    """Chunks until they hold `size_bytes`; raises AssertionError where they do not come in time."""
    chunks: list[Chunk] = []
    deadline = time.monotonic() + timeout_s
    while sum(len(chunk.data) for chunk in chunks) < size_bytes:
        assert time.monotonic() < deadline, f"got {sum(len(c.data) for c in chunks)} of {size_bytes} bytes"
        chunks += buffer.take(0.1)
    return chunks


def joined(chunks: list[Chunk], device: str) -> bytes:
    """The bytes of one device."""
    return b"".join(chunk.data for chunk in chunks if chunk.device == device)

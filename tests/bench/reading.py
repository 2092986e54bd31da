"""Bytes from a source to windows in two threads, as the daemon reads them: what the benchmarks of the inputs share."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from agent.decode.decoder import Decoder
from agent.pipeline_thread import BUFFER_BYTES, GATHER_S, TAKE_S
from agent.sources.buffer import ChunkBuffer
from agent.sources.link import Source
from agent.types import Chunk
from agent.window.aligner import Aligner
from tests.harness.threads import at_work

STALLED_S = 5.0


class Spent(NamedTuple):
    """What it took to read so many messages or bytes."""

    items: int
    wall_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.items / self.wall_s

    @property
    def cpu_us(self) -> float:
        """Processor time of this process for each item."""
        return self.cpu_s / self.items * 1e6


class Reader:
    """A source's thread and the pipeline's, with the buffer between them; `aligners` may leave devices out."""

    def __init__(
        self, make: Callable[[ChunkBuffer], Source], decoders: Mapping[str, Decoder], aligners: Mapping[str, Aligner]
    ) -> None:
        self.buffer = ChunkBuffer(BUFFER_BYTES)
        self.source = make(self.buffer)
        self.decoders, self._aligners = decoders, aligners
        self.windows = 0

    def running(self) -> contextlib.AbstractContextManager[threading.Event]:
        return at_work(self.source.run, self._process)

    def count(self, name: str) -> int:
        """One of the decoders' counters, over all devices."""
        return sum(decoder.counters[name] for decoder in self.decoders.values())

    def _process(self, stop: threading.Event) -> None:
        while not stop.is_set():
            by_device: defaultdict[str, list[Chunk]] = defaultdict(list)
            for chunk in self.buffer.take(TAKE_S):
                by_device[chunk.device].append(chunk)
            for device, chunks in by_device.items():
                batch = self.decoders[device].feed(chunks)
                if batch is not None and device in self._aligners:
                    self.windows += len(self._aligners[device].add(batch))
            stop.wait(GATHER_S)


def timed(start: Callable[[], object], count: Callable[[], int], wanted: int) -> Spent:
    """`start()` something and wait until `count()` has reached `wanted`; raises RuntimeError where it stops short of that."""
    wall, cpu = time.perf_counter(), time.process_time()
    start()
    seen, moved = -1, wall
    while (now := count()) < wanted:
        if now != seen:
            seen, moved = now, time.perf_counter()
        if time.perf_counter() - moved > STALLED_S:
            raise RuntimeError(f"{wanted - now} of {wanted} never came")
        time.sleep(0.005)
    return Spent(wanted, time.perf_counter() - wall, time.process_time() - cpu)

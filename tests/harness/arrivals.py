"""Simulated links: where a device's samples truly lie, and when they arrive, by a seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from agent.decode.timebase_counter import CounterTime
from agent.types import NANOSECONDS, Int64Array

START_NS = 1_700_000_000 * NANOSECONDS


@dataclass(frozen=True)
class Link:
    """A device that sends `chunk` samples together, each chunk delayed by 0 to `jitter_ms`; its clock is fast by `drift_ppm`."""

    rate_hz: float
    chunk: int
    jitter_ms: float = 20.0
    drift_ppm: float = 0.0

    def taken_ns(self, position: Int64Array) -> Int64Array:
        """When the samples at these positions were truly taken."""
        seconds = position / self.rate_hz / (1 + self.drift_ppm * 1e-6)
        return START_NS + np.rint(seconds * NANOSECONDS).astype(np.int64)

    def chunks(self, seconds: float, rng: np.random.Generator) -> tuple[Int64Array, Int64Array]:
        """Positions int64 [chunks, chunk] and arrivals int64 [chunks], in the order of arrival: no chunk overtakes another."""
        count = int(seconds * self.rate_hz / self.chunk)
        position = np.arange(count * self.chunk).reshape(count, self.chunk)
        delay_ns = (rng.uniform(0.0, self.jitter_ms, count) * 1e6).astype(np.int64)
        arrived_ns = np.maximum.accumulate(self.taken_ns(position[:, -1]) + delay_ns)
        return position, arrived_ns + np.arange(count)  # no two at the same nanosecond


def stamped(clock: CounterTime, position: Int64Array, arrived_ns: Int64Array, calls: int) -> Iterator[Int64Array]:
    """Event times of the chunks, fed in so many calls, flat."""
    for part, arrivals in zip(np.array_split(position, calls), np.array_split(arrived_ns, calls), strict=True):
        yield clock.stamp(part.reshape(-1), np.repeat(arrivals, position.shape[1]))

"""The latency canary: how long one window takes after load, held against what the bundle promises."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.clock import Clock
from agent.types import NANOSECONDS, Float32Array

_MOST_RUNS = 20
_LEAST_RUNS = 3
_ENOUGH_NS = NANOSECONDS // 2  # a slow model is known well enough before it has run so often


@dataclass(frozen=True, slots=True)
class Latency:
    """Of single windows, in milliseconds, after a warm-up."""

    median_ms: float
    worst_ms: float


def measure(score: Callable[[Float32Array], object], window: Float32Array, clock: Clock) -> Latency:
    """Time `score` on `window` float32 [1, channels, time], which it has met before."""
    taken_ns: list[int] = []
    while len(taken_ns) < _MOST_RUNS and (sum(taken_ns) < _ENOUGH_NS or len(taken_ns) < _LEAST_RUNS):
        started_ns = clock.monotonic_ns()
        score(window)
        taken_ns.append(clock.monotonic_ns() - started_ns)
    return latency_of(taken_ns)


def latency_of(taken_ns: Sequence[int]) -> Latency:
    """Of runs that took so long."""
    return Latency(statistics.median(taken_ns) / 1e6, max(taken_ns) / 1e6)

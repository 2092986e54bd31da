"""How far counter time is from the truth under 20 ms of jitter, on seeded simulations; nothing here is timed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent.decode.timebase_counter import CounterTime
from tests.bench.figures import Figure, significant
from tests.harness.arrivals import Link, stamped

LINKS = {"1khz": Link(1_000.0, 10, drift_ppm=50.0), "10hz": Link(10.0, 1, drift_ppm=50.0)}
_SEEDS = range(10)
_SECONDS, _FROM_S = 660.0, 60.0
_CALLS = 660
_MAX_DEPARTURE_NS = 250_000_000

Float64Array = npt.NDArray[np.float64]


class _Found(NamedTuple):
    """Of one simulation, from the first minute's end on: errors in ms, and of the drift after ten minutes in ppm."""

    mean: float
    std: float
    largest: float  # about the mean
    drift: float
    line_std: float  # of the straight line through all arrivals so far, by least squares


def measure() -> Iterator[Figure]:
    drift = 0.0
    for name, link in LINKS.items():
        found = [_simulate(link, seed) for seed in _SEEDS]
        rivals = (
            f"arrival times: {20 / 12**0.5:.2g}; least squares over all arrivals: {max(f.line_std for f in found):.2g}"
        )
        group = f"devices.time_error_ms.{name}"
        yield Figure(f"{group}.std", significant(max(f.std for f in found), 2), "ms", rivals, "< 1")
        yield Figure(f"{group}.max", significant(max(f.largest for f in found), 2), "ms", "about the mean delay", "< 1")
        yield Figure(f"{group}.mean", significant(max(abs(f.mean) for f in found), 2), "ms", "the true time", None)
        drift = max(drift, *(f.drift for f in found))
    yield Figure("devices.drift_error_ppm", significant(drift, 2), "ppm", "50 ppm, ten minutes after the start", "< 1")


def _simulate(link: Link, seed: int) -> _Found:
    position, arrived_ns = link.chunks(_SECONDS, np.random.default_rng(seed))
    clock = CounterTime(link.rate_hz, _MAX_DEPARTURE_NS)
    drifts, parts = [], []
    for part in stamped(clock, position, arrived_ns, _CALLS):
        parts.append(part)
        drifts.append(clock.line.drift_ppm)
    error = (np.concatenate(parts) - link.taken_ns(position.reshape(-1))) / 1e6
    settled = error[round(_FROM_S * link.rate_hz) :]
    newest = position[:, -1]
    line = _running_line(newest / link.rate_hz, (arrived_ns - link.taken_ns(newest)) / 1e6)
    return _Found(
        mean=float(settled.mean()),
        std=float(settled.std()),
        largest=float(np.abs(settled - settled.mean()).max()),
        drift=float(np.abs(np.array(drifts[600:]) - link.drift_ppm).max()),
        line_std=float(line[newest >= _FROM_S * link.rate_hz].std()),
    )


def _running_line(x: Float64Array, y: Float64Array) -> Float64Array:
    """The value at each x of the straight line through all points up to it."""
    count = np.arange(1, len(x) + 1)
    sum_x, sum_y = np.cumsum(x), np.cumsum(y)
    spread = np.maximum(np.cumsum(x * x) - sum_x**2 / count, 1e-9)
    slope = (np.cumsum(x * y) - sum_x * sum_y / count) / spread
    line: Float64Array = sum_y / count + slope * (x - sum_x / count)
    return line

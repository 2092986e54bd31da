"""Signals of sound and of faulty sensors, and a watch to show them to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from agent.decode.schema import Profile
from agent.sensors.faults import Fault
from agent.sensors.watch import SensorWatch
from agent.types import NANOSECONDS, Batch, Quality, TimeQuality
from tests.harness.profiles import make

START_NS = 1_760_000_000_000_000_000
Floats = npt.NDArray[np.float64]


def profile(*channels: str, rate_hz: float = 100.0, more: str = "") -> Profile:
    """A profile of CSV lines with one channel (c0, c1 ...) for each of these bodies; `more` stands at its end."""
    columns = ", ".join(f'"c{index}"' for index in range(len(channels)))
    tables = "".join(f'[[channel]]\nname = "c{index}"\nunit = "1"\n{body}\n' for index, body in enumerate(channels))
    head = f'framing = {{ kind = "lines" }}\ncsv = {{ columns = ["t", {columns}] }}\n'
    return make(f'{head}time = {{ kind = "device", field = "t", unit = "ms" }}\n{tables}{more}', rate_hz=rate_hz)


def samples(values: Floats, rate_hz: float = 100.0, quality: npt.NDArray[np.uint8] | None = None) -> Batch:
    """Values [n, channels], or [n] of one, a period apart; NaN is missing."""
    table = np.asarray(values, np.float32).reshape(len(values), -1)
    flags = np.where(np.isnan(table), np.uint8(Quality.MISSING), np.uint8(0)) if quality is None else quality
    t_ns = START_NS + np.arange(len(table), dtype=np.int64) * round(NANOSECONDS / rate_hz)
    return Batch("d", t_ns, table, flags, TimeQuality.DEVICE)


def cut(batch: Batch, sizes: int | Sequence[int]) -> Iterator[Batch]:
    """The batch in pieces, all of one size or of these sizes over and over."""
    cycle = [sizes] if isinstance(sizes, int) else list(sizes)
    start = number = 0
    while start < len(batch):
        part = slice(start, start + cycle[number % len(cycle)])
        yield Batch(batch.device, batch.t_ns[part], batch.values[part], batch.quality[part], batch.time_quality)
        start, number = part.stop, number + 1


def first_believed(watch: SensorWatch, batch: Batch, fault: Fault, column: int = 0) -> int | None:
    """The sample at which `fault` begins to stand; None where it never does."""
    for index, piece in enumerate(cut(batch, 1)):
        watch.inspect(piece)
        if fault in watch.report().channels[column].faults:
            return index
    return None


def faults(watch: SensorWatch) -> list[tuple[Fault, ...]]:
    """What stands, channel by channel."""
    return [channel.faults for channel in watch.report().channels]


def white(count: int, seed: int, noise: float = 1.0, step: float = 0.1) -> Floats:
    """Gaussian noise on a grid."""
    return on_grid(noise * np.random.default_rng(seed).standard_normal(count), step)


def on_grid(values: Floats, step: float) -> Floats:
    return np.asarray(np.rint(values / step) * step)

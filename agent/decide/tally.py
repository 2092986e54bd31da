"""Count, extremes, mean, spread and quantiles of several channels, gathered block by block in fixed memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import msgspec
import numpy as np
import numpy.typing as npt

from agent.decide.cells import Cells, pack
from agent.decide.sketch import Sketch, SketchMemory
from agent.types import Float32Array

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_MOMENTS = ("_n", "_mean", "_squares", "_min", "_max")


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of `n` values, in their unit; all None where there are none. std is the population's; all merge by `cells` and moments."""

    n: int
    min: float | None
    mean: float | None
    max: float | None
    std: float | None
    p05: float | None
    p25: float | None
    p50: float | None
    p75: float | None
    p95: float | None
    p99: float | None
    cells: Cells | None = None


class TallyMemory(msgspec.Struct, frozen=True, array_like=True):
    """A tally to be kept."""

    sketch: SketchMemory
    moments: list[list[float]]  # n, mean, squared deviations, least, greatest; by channel


class Tally:
    """Moments by the pairwise update of Chan, Golub and LeVeque (1979), which keeps its digits where a sum of squares loses them."""

    def __init__(self, centre: Float32Array) -> None:
        """`centre` float32 [channels] is where quantiles are finest."""
        self._n = np.zeros(len(centre), np.int64)
        self._mean = np.zeros(len(centre))
        self._squares = np.zeros(len(centre))  # of deviations from the mean
        self._min = np.full(len(centre), np.inf)
        self._max = np.full(len(centre), -np.inf)
        self._sketch = Sketch(centre)

    def add(self, values: Float32Array, good: npt.NDArray[np.bool_] | None = None) -> None:
        """Take in values [n, channels], or those that are `good`; all of these must be finite."""
        values = np.asfortranarray(values)  # what follows goes along channels, and they are few
        self._sketch.add(values, good)
        if good is None:
            self._add_moments(values, slice(None))
            return
        for channel in np.flatnonzero(good.any(axis=0)):
            self._add_moments(values[good[:, channel], channel : channel + 1], slice(channel, channel + 1))

    @classmethod
    def joined(cls, parts: Sequence[Tally], order: npt.NDArray[np.intp]) -> Self:
        """The channels of several tallies in one, in this order of all of them."""
        whole = cls(np.zeros(len(order), np.float32))
        whole._sketch = Sketch.joined([part._sketch for part in parts], order)  # noqa: SLF001 - of this class
        for name in _MOMENTS:
            setattr(whole, name, np.concatenate([getattr(part, name) for part in parts])[order])
        return whole

    @classmethod
    def remembered(cls, memory: TallyMemory) -> Self:
        """The tally that was kept; raises ValueError where it is damaged."""
        channels = len(memory.sketch.centre)
        if [len(each) for each in memory.moments] != [channels] * len(_MOMENTS):
            raise ValueError("the moments are not those of the channels")
        tally = cls(np.zeros(channels, np.float32))
        tally._sketch = Sketch.remembered(memory.sketch)
        for name, values in zip(_MOMENTS, memory.moments, strict=True):
            setattr(tally, name, np.array(values, getattr(tally, name).dtype))
        return tally

    @property
    def memory(self) -> TallyMemory:
        """Everything that must outlive a restart."""
        return TallyMemory(self._sketch.memory, [getattr(self, name).tolist() for name in _MOMENTS])

    def merge(self, other: Tally) -> None:
        """Take in what `other` did, of the same channels."""
        self._sketch.merge(other._sketch)
        total = self._n + other._n
        step = np.where(other._n > 0, other._mean - self._mean, 0.0)
        part = other._n / np.maximum(total, 1)
        self._squares += other._squares + step * step * self._n * part
        self._mean += step * part
        self._n = total
        self._min, self._max = np.minimum(self._min, other._min), np.maximum(self._max, other._max)

    def statistics(self) -> list[Statistics]:
        """One for each channel."""
        with np.errstate(invalid="ignore"):
            std = np.sqrt(self._squares / self._n)
        quantiles = np.clip(self._sketch.quantiles(_QUANTILES), self._min[:, None], self._max[:, None])
        moments = np.stack([self._min, self._mean, self._max, std], axis=1)
        rows = np.concatenate([moments, quantiles], axis=1).tolist()
        names = Statistics.__struct_fields__[1:-1]
        return [
            Statistics(
                n=n,
                **dict(zip(names, row if n else [None] * len(names), strict=True)),
                cells=self._cells(channel) if n else None,
            )
            for channel, (n, row) in enumerate(zip(self._n.tolist(), rows, strict=True))
        ]

    def _cells(self, channel: int) -> Cells:
        lower, upper, counts = self._sketch.buckets(channel)
        low, high = self._min[channel], self._max[channel]
        return pack(np.clip(lower, low, high), np.clip(upper, low, high), counts)

    def centre(self, before: Float32Array) -> Float32Array:
        """The median of each channel, or what it was before where a channel had no values: the next tally's centre."""
        median = self._sketch.quantiles([0.5])[:, 0]
        return np.where(np.isnan(median), before, median).astype(np.float32)

    def _add_moments(self, values: Float32Array, channels: slice) -> None:
        """Values [n, channels], n above zero."""
        added = len(values)
        mean = values.mean(axis=0, dtype=np.float64)
        deviation = values - mean
        step = mean - self._mean[channels]
        total = self._n[channels] + added
        self._squares[channels] += np.einsum("nc,nc->c", deviation, deviation) + step * step * (
            self._n[channels] * added / total
        )
        self._mean[channels] += step * (added / total)
        self._n[channels] = total
        self._min[channels] = np.minimum(self._min[channels], values.min(axis=0))
        self._max[channels] = np.maximum(self._max[channels], values.max(axis=0))

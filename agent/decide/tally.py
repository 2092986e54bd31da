"""Count, extremes, mean, spread and quantiles of several channels, gathered block by block in fixed memory."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from agent.decide.sketch import Sketch
from agent.types import Float32Array

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of `n` values, in their unit; all None where there are none. std is the population's."""

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

    def statistics(self) -> list[Statistics]:
        """One for each channel."""
        with np.errstate(invalid="ignore"):
            std = np.sqrt(self._squares / self._n)
        quantiles = np.clip(self._sketch.quantiles(_QUANTILES), self._min[:, None], self._max[:, None])
        moments = np.stack([self._min, self._mean, self._max, std], axis=1)
        rows = np.concatenate([moments, quantiles], axis=1).tolist()
        names = Statistics.__struct_fields__[1:]
        return [
            Statistics(n=n, **dict(zip(names, row if n else [None] * len(names), strict=True)))
            for n, row in zip(self._n.tolist(), rows, strict=True)
        ]

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

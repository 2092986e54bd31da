"""Quantiles of several channels at once, in fixed memory: counts in buckets as wide as the value they hold is large."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Self

import msgspec
import numpy as np
import numpy.typing as npt

from agent.types import Float32Array

# A finite float32 without its sign, shifted by 17, is its exponent and 6 bits of its mantissa: the number of a bucket 1/64 of an
# octave of its lower edge wide, in the order of magnitude.
_SHIFT = 17
_MAGNITUDE = 0x7FFF_FFFF
# 24 octaves, a float32's own precision: what is smaller than 2**-24 of the largest is lost when the two are added.
_SPAN = 24 << (23 - _SHIFT)
_WIDTH = 2 * _SPAN + 1


class SketchMemory(msgspec.Struct, frozen=True, array_like=True):
    """A sketch to be kept: `counts` are zlib's of little-endian uint32, for most of them are zero."""

    centre: list[float]
    top: list[int]
    counts: bytes


class Sketch:
    """Counts of deviations from a fixed `centre`, for each of several channels; 12 KiB a channel, whatever the number of values.

    Bounded and mergeable as DDSketch (Masson, Rim, Lee, VLDB 2019), with buckets read off the float's own bits instead of a
    logarithm. Relative accuracy: a quantile lies within 1/64 of its own deviation from the centre, or within 2**-23 of the
    largest deviation seen, whichever is more. A bucket counts to 2**32.
    """

    def __init__(self, centre: Float32Array) -> None:
        """`centre` float32 [channels]; the finer the nearer it is to the values."""
        self._centre = centre
        self._top = np.full(
            len(centre), _SPAN, np.int32
        )  # largest magnitude bucket; those _SPAN below it count as zero
        self._counts = np.zeros((len(centre), _WIDTH), np.uint32)

    def add(self, values: Float32Array, good: npt.NDArray[np.bool_] | None = None) -> None:
        """Count values [n, channels], or those that are `good`; all of these must be finite."""
        with np.errstate(over="ignore"):  # infinity has a bucket of its own, above all others
            bits = (values - self._centre).view(np.int32)
        magnitude = (bits & _MAGNITUDE) >> _SHIFT
        if good is not None:
            magnitude *= good
        self._raise_top(magnitude.max(axis=0))
        bucket = np.maximum(magnitude - (self._top - _SPAN), 0)
        sign = bits >> 31
        bucket = ((bucket ^ sign) - sign) + (np.arange(len(self._centre), dtype=np.int32) * _WIDTH + _SPAN)
        chosen = bucket.ravel(order="K") if good is None else bucket[good]
        counts = np.bincount(chosen, minlength=self._counts.size)
        self._counts += counts.reshape(self._counts.shape).astype(np.uint32)

    @classmethod
    def joined(cls, parts: Sequence[Sketch], order: npt.NDArray[np.intp]) -> Self:
        """The channels of several sketches in one, in this order of all of them."""
        centres, tops, counts = zip(*[(part._centre, part._top, part._counts) for part in parts], strict=True)  # noqa: SLF001 - of this class
        whole = cls(np.concatenate(centres)[order])
        whole._top = np.concatenate(tops)[order]
        whole._counts = np.concatenate(counts)[order]
        return whole

    @classmethod
    def remembered(cls, memory: SketchMemory) -> Self:
        """The sketch that was kept; raises ValueError where it is damaged."""
        try:
            counts = np.frombuffer(zlib.decompress(memory.counts), "<u4").astype(np.uint32)
        except (zlib.error, ValueError) as error:
            raise ValueError(f"the counts cannot be read: {error}") from error
        if len(memory.top) != len(memory.centre) or counts.size != len(memory.centre) * _WIDTH:
            raise ValueError("the counts are not those of the channels")
        sketch = cls(np.array(memory.centre, np.float32))
        sketch._top = np.array(memory.top, np.int32)
        sketch._counts = counts.reshape(-1, _WIDTH)
        return sketch

    @property
    def memory(self) -> SketchMemory:
        """Everything that must outlive a restart."""
        counts = zlib.compress(self._counts.astype("<u4").tobytes(), 1)
        return SketchMemory(self._centre.tolist(), self._top.tolist(), counts)

    def merge(self, other: Sketch) -> None:
        """Count what `other` counted: exactly where a channel's centre is the same or nothing was counted yet, else by the middles of its buckets.

        Each value is then off by its own bucket's width at most, and by one more of this sketch, however many are merged.
        """
        fresh = ~self._counts.any(axis=1)
        self._centre = np.where(fresh, other._centre, self._centre)
        self._top = np.where(fresh, other._top, self._top)
        alike = self._centre == other._centre
        self._raise_top(np.where(alike, other._top, self._top))
        for channel in range(len(self._centre)):
            if alike[channel]:
                steps = int(self._top[channel] - other._top[channel])
                self._counts[channel] += _collapsed(other._counts[channel], steps)
            else:
                self._pour(channel, *other.buckets(channel))

    def buckets(self, channel: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.uint32]]:
        """Lower edges, upper edges and counts of a channel's buckets that hold anything, in rising order."""
        filled = np.flatnonzero(self._counts[channel])
        lower, upper = self._edges(channel, filled - _SPAN)
        centre = float(self._centre[channel])
        return centre + lower, centre + upper, self._counts[channel][filled]

    def quantiles(self, fractions: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Quantiles [channels, fractions], interpolated within their bucket; NaN for a channel without values."""
        wanted = np.asarray(fractions, np.float64)
        result = np.full((len(self._centre), len(wanted)), np.nan)
        for channel, counts in enumerate(self._counts):
            filled = np.flatnonzero(counts)
            if not len(filled):
                continue
            upto = np.cumsum(counts[filled], dtype=np.float64)
            rank = wanted * (upto[-1] - 1) + 0.5
            at = np.searchsorted(upto, rank)
            lower, upper = self._edges(channel, filled[at] - _SPAN)
            within = (rank - (upto[at] - counts[filled[at]])) / counts[filled[at]]
            result[channel] = self._centre[channel] + lower + within * (upper - lower)
        return result

    def _edges(
        self, channel: int, bucket: npt.NDArray[np.intp]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Lower and upper edge of signed buckets; bucket 0 lies about zero."""
        magnitude = np.abs(bucket) + int(self._top[channel]) - _SPAN
        outer = _edge(magnitude + 1)
        inner = np.where(bucket == 0, -outer, _edge(magnitude))
        return np.where(bucket < 0, -outer, inner), np.where(bucket < 0, -inner, outer)

    def _pour(
        self,
        channel: int,
        lower: npt.NDArray[np.float64],
        upper: npt.NDArray[np.float64],
        counts: npt.NDArray[np.uint32],
    ) -> None:
        """Count the buckets of another centre."""
        if not len(counts):
            return
        with np.errstate(over="ignore"):
            deviation = ((lower + upper) / 2 - float(self._centre[channel])).astype(np.float32)
        magnitude = (deviation.view(np.int32) & _MAGNITUDE) >> _SHIFT
        top = self._top.copy()
        top[channel] = max(top[channel], magnitude.max())
        self._raise_top(top)
        bucket = np.maximum(magnitude - (self._top[channel] - _SPAN), 0)
        np.add.at(self._counts[channel], np.where(deviation < 0, -bucket, bucket) + _SPAN, counts)

    def _raise_top(self, top: npt.NDArray[np.int32]) -> None:
        for channel in np.flatnonzero(top > self._top):
            self._counts[channel] = _collapsed(self._counts[channel], int(top[channel] - self._top[channel]))
            self._top[channel] = top[channel]


def _collapsed(counts: npt.NDArray[np.uint32], steps: int) -> npt.NDArray[np.uint32]:
    """The counts with every bucket `steps` nearer to zero, where the smallest gather."""
    if steps == 0:
        return counts
    steps = min(steps, _SPAN)
    moved = np.zeros_like(counts)
    moved[_SPAN + 1 : _WIDTH - steps] = counts[_SPAN + 1 + steps :]
    moved[steps:_SPAN] = counts[: _SPAN - steps]
    moved[_SPAN] = counts[_SPAN - steps : _SPAN + steps + 1].sum()
    return moved


def _edge(magnitude: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """The smallest number in a bucket; beyond the last finite bucket, the largest float32."""
    edge = np.minimum(magnitude, (0x7F80_0000 >> _SHIFT)).astype(np.int32) << _SHIFT
    return np.minimum(edge.view(np.float32).astype(np.float64), float(np.finfo(np.float32).max))

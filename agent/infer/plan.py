"""How windows are cut into batches, and which form of the model runs them: few fixed sizes, chosen by measuring. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.infer.agreement import FP32
from agent.infer.providers import CPU

# ONNX Runtime plans memory per shape, so few sizes keep its arena small. On one core sixteen windows already run as fast as
# a hundred would; accelerators go on gaining.
_CPU_SIZES = (16, 4, 1)
_ACCELERATED_SIZES = (1024, 256, 64, 16, 4, 1)
CANDIDATES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
# A size stays only where it gains this much over the next smaller one: each costs memory, and on a GPU a captured graph.
_LEAST_GAIN = 1.05
# Of one batch, 16 MiB. What a network computes in between is some ten to fifty times that, and a small box has a few GB for all.
_MOST_VALUES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """`batch_sizes` fall and end with 1; empty stands for those that are usual on the provider in use.

    `basis` says where it comes from; `stale`: it is the usual one, because what was measured cannot be believed.
    """

    variant: str = FP32
    batch_sizes: tuple[int, ...] = ()
    basis: str = "not tuned"
    stale: bool = False

    def sizes(self, provider: str, window_values: int, most: int = CANDIDATES[-1]) -> tuple[int, ...]:
        """The sizes to run on `provider`, none of them above `most`, or so large that windows of `window_values` would need too much memory."""
        wanted = self.batch_sizes or (_CPU_SIZES if provider == CPU else _ACCELERATED_SIZES)
        return tuple(size for size in wanted if size == 1 or size <= min(most, _MOST_VALUES // window_values))


def cut(count: int, sizes: Sequence[int]) -> Iterator[slice]:
    """`count` windows in batches of `sizes`, largest first, none left over."""
    start = 0
    for size in sizes:
        while count - start >= size:
            yield slice(start, start + size)
            start += size


def choose_sizes(seconds: Mapping[int, float]) -> tuple[int, ...]:
    """The sizes worth keeping, falling, out of `seconds` that one batch of each size takes; 1 is always among them."""
    kept = [1]
    for size in sorted(seconds):
        if size / seconds[size] >= _LEAST_GAIN * kept[-1] / seconds[kept[-1]]:
            kept.append(size)
    return tuple(reversed(kept))


def best_rate(seconds: Mapping[int, float]) -> float:
    """Windows a second in the batches that suit best."""
    return max(size / taken for size, taken in seconds.items())

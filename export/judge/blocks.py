"""Confidence intervals where windows depend on their neighbours: the moving block bootstrap (Künsch 1989), run by run.

Each resample rebuilds every run from blocks of consecutive windows drawn with replacement; a metric's interval is the range
between the 2.5th and 97.5th percentile of its values. A resample is kept as how often each window occurs in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from export.judge.stretches import stretches
from export.judge.window_metrics import Sample, measure
from export.rows import BoolArray, Float64Array

_CELLS = 2_000_000  # of weights held at once, which bounds memory
_LEVEL = 0.95
_LEAST_DEFINED = 0.9  # of the resamples; an interval from fewer would be one of the lucky ones


@dataclass(frozen=True, slots=True)
class Plan:
    """How to resample: blocks of so many windows, so many times, from this seed."""

    block_windows: int
    resamples: int = 1_000
    seed: int = 0


def block_length(labels: Sequence[BoolArray], overlap: int) -> int:
    """Windows a block must span for blocks to be nearly independent, given labels [n] of each run.

    The longest of: windows that share cells (`overlap`), the cube root of the longest run (the rate that Künsch and
    later Bühlmann show), and the median anomalous stretch, for the windows of one fault are one observation more
    than many; but no more than a quarter of the longest run, so that there is something to draw from.
    """
    longest = max((len(each) for each in labels), default=1)
    ends = [stretches(each) for each in labels]
    faults = np.concatenate([last - first + 1 for first, last in ends]) if ends else np.empty(0)
    wanted = max(overlap, round(longest ** (1 / 3)), int(np.median(faults)) if len(faults) else 1)
    return int(max(1, min(wanted, longest // 4)))


def resample(sample: Sample, lengths: Sequence[int], plan: Plan) -> dict[str, Float64Array]:
    """Each metric's value in each resample [resamples]; `lengths` are the windows of each run. The same plan draws the same blocks."""
    rng = np.random.default_rng(plan.seed)
    chunk = max(1, _CELLS // max(sum(lengths), 1))
    counts = [min(chunk, plan.resamples - start) for start in range(0, plan.resamples, chunk)]
    parts = [measure(sample, weights) for weights in _weights(rng, lengths, plan.block_windows, counts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def intervals(values: Mapping[str, Float64Array]) -> dict[str, tuple[float, float]]:
    """The 95 % interval of every metric that is defined in nearly all resamples."""
    tails = ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2)
    found = {}
    for name, value in values.items():
        defined = value[~np.isnan(value)]
        if len(defined) >= _LEAST_DEFINED * len(value):
            low, high = np.quantile(defined, tails)
            found[name] = (float(low), float(high))
    return found


def _weights(
    rng: np.random.Generator, lengths: Sequence[int], block: int, counts: Sequence[int]
) -> Iterator[Float64Array]:
    """How often each window occurs, [count, windows of all runs] for each count."""
    for count in counts:
        yield np.concatenate([_run_weights(rng, length, block, count) for length in lengths], axis=1)


def _run_weights(rng: np.random.Generator, length: int, block: int, count: int) -> Float64Array:
    """Blocks from anywhere in a run, as many as fill it, the last one cut to fit; [count, length]."""
    if length == 0:
        return np.empty((count, 0))
    block = min(block, length)
    sizes = np.full(-(-length // block), block)
    sizes[-1] = length - block * (len(sizes) - 1)
    starts = rng.integers(0, length - block + 1, (count, len(sizes)))
    steps = np.zeros((count, length + 1))
    rows = np.arange(count)[:, None]
    np.add.at(steps, (rows, starts), 1.0)
    np.add.at(steps, (rows, starts + sizes), -1.0)
    return np.cumsum(steps, axis=1)[:, :-1]

"""Golden windows: the few by which a box proves a model, from recordings, with steps, and near the threshold of an alarm."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from agent.infer.agreement import BoolArray, Judge, flagged
from agent.types import Float32Array

_HALVINGS = 40  # of the way between two windows: more than float32 has bits


def choose_samples(normal: Float32Array, strange: Float32Array, count: int = 8) -> Float32Array:
    """`count` of `normal` and of `strange` [n, channels, time] evenly over each, and steps no recording shows.

    Anomalous windows matter most: a model that is right on normal data alone can still miss every fault.
    """
    real = [
        part[np.unique(np.linspace(0, len(part) - 1, count).astype(int))] for part in (normal, strange) if len(part)
    ]
    deviation = np.maximum(normal.std(axis=(0, 2)), np.abs(normal).max(axis=(0, 2)) * 1e-3)
    stepped = normal[:1].repeat(min(count, normal.shape[1]), axis=0)
    half = normal.shape[2] // 2
    for index in range(len(stepped)):
        stepped[index, index, half:] += 10 * deviation[index]
    return np.concatenate([*real, stepped])


def near_thresholds(
    score: Callable[[Float32Array], Float32Array],
    judge: Judge,
    samples: Float32Array,
    budgets_per_hour: Sequence[float],
) -> Float32Array:
    """For each budget a window that normal operation tops twice as often as it allows, and one that it tops half as often, [n, channels, time].

    Each is found by bisection on the straight line between the least strange of `samples` and the strangest, whose scores lie on either
    side. A form of the model that decides these alike moves no alarm by more than a factor of two in its rate. Fewer, or none, where
    the samples are all on one side.
    """
    targets = [factor * budget for budget in budgets_per_hour for factor in (2.0, 0.5)]
    scores = score(samples)
    quiet, loud = samples[scores.argmin()], samples[scores.argmax()]
    ends = flagged(judge, np.stack([quiet, loud]), scores[[scores.argmin(), scores.argmax()]], targets)
    between = np.flatnonzero(~ends[:, 0] & ends[:, 1])
    if not len(between):
        return samples[:0]
    wanted = [targets[index] for index in between]
    low, high = (np.repeat(end[None], len(wanted), axis=0) for end in (quiet, loud))
    for _ in range(_HALVINGS):
        middle = ((low.astype(np.float64) + high) / 2).astype(np.float32)
        above: BoolArray = flagged(judge, middle, score(middle), wanted).diagonal()
        low, high = np.where(above[:, None, None], low, middle), np.where(above[:, None, None], middle, high)
    return np.where((between % 2 == 0)[:, None, None], low, high)

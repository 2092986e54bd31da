"""The generalised Pareto distribution fitted by maximum likelihood, without scipy: one number to search for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]

# Below this shape the likelihood is not regular, and its estimate means little (Smith 1985).
_LEAST_SHAPE = -0.5
_STEPS = 60  # of golden section: the interval shrinks to 3e-13 of itself
_GOLDEN = (5**0.5 - 1) / 2


def fit(excesses: Float64Array) -> tuple[float, float]:
    """Shape and scale of excesses [n], all above zero; a shape of -0.5 is the least that is found.

    Grimshaw (Technometrics 1993): for a given ratio of shape and scale the best shape is known, so the likelihood is searched along that ratio
    alone. It may have several maxima: a grid finds the highest, golden section its place.
    """
    mean = float(excesses.mean())
    x = excesses / mean
    ratios = _ratios(float(x.max()))
    shapes = np.log1p(np.multiply.outer(ratios, x)).mean(axis=1)
    allowed = ratios[shapes >= _LEAST_SHAPE]
    costs = np.array([_cost(ratio, x) for ratio in allowed])
    best = int(np.argmin(costs))
    ratio = _least(allowed[max(best - 1, 0)], allowed[min(best + 1, len(allowed) - 1)], x)
    if abs(ratio) < 1e-9:
        return 0.0, mean
    shape = float(np.log1p(ratio * x).mean())
    return shape, mean * shape / ratio


def scale_given(shape: float, excesses: Float64Array) -> float:
    """The likeliest scale of excesses [n] where the shape is known to be `shape`, zero or above."""
    if shape == 0:
        return float(excesses.mean())
    low, high = 0.0, float(excesses.max()) * (1 + shape)  # where the score function is above and below zero
    for _ in range(_STEPS):
        scale = (low + high) / 2
        if float(((1 + shape) * excesses / (scale + shape * excesses)).mean()) > 1:
            low = scale
        else:
            high = scale
    return (low + high) / 2


def _ratios(largest: float) -> Float64Array:
    """Ratios of shape and scale to look at, for excesses of mean 1: from where the tail ends at the largest of them to very heavy."""
    light = -(1 - np.geomspace(1e-4, 1, 60, endpoint=False)) / largest
    return np.concatenate([np.sort(light), [0.0], np.geomspace(1e-4, 1e3, 80)])


def _cost(ratio: float, x: Float64Array) -> float:
    """The negative log-likelihood an excess, but for a constant, at the best shape for `ratio`."""
    if abs(ratio) < 1e-9:
        return 0.0  # the exponential distribution of mean 1
    shape = float(np.log1p(ratio * x).mean())
    return float(np.log(shape / ratio) + shape)


def _least(low: float, high: float, x: Float64Array) -> float:
    """The ratio of least cost between two others, by golden section."""
    inner, outer = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_inner, at_outer = _cost(inner, x), _cost(outer, x)
    for _ in range(_STEPS):
        if at_inner < at_outer:
            high, outer, at_outer = outer, inner, at_inner
            inner = high - _GOLDEN * (high - low)
            at_inner = _cost(inner, x)
        else:
            low, inner, at_inner = inner, outer, at_outer
            outer = low + _GOLDEN * (high - low)
            at_outer = _cost(outer, x)
    return (low + high) / 2

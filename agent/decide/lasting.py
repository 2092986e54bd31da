"""Small lasting changes: scores that are each within the usual, but go on being high, add up to evidence of their own."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent.decide.calibration import Calibration, Lasting, exceedances_per_hour

Float64Array = npt.NDArray[np.float64]

# A score counts for at most this much, so that one outlier, which has a rate of its own, does not look like a lasting change.
_MOST = 4.0
_LEAST_P = 1e-9
_GRID = np.linspace(0.0, -math.log(_LEAST_P), 512)  # of -log p
_NORMAL_SCORES = np.array(
    [NormalDist().inv_cdf(min(1 - math.exp(-each), 1 - 1e-16)) if each else -_MOST for each in _GRID]
)
# Evidence may exceed what an alarm needs by so much, in e-foldings of the rate, that it is over soon after its cause.
_SURPLUS = math.log(100.0)


class Likelihood(NamedTuple):
    """How often an hour normal operation scores at least this high, and the score as a standard normal deviate."""

    per_hour: float
    normal_score: float


class Evidence:
    """Page's cumulative sum (Biometrika 1954) over one machine's normal scores: S = max(0, S + z - reference)."""

    def __init__(self, lasting: Lasting, budget_per_hour: float, hop_ns: int) -> None:
        """`hop_ns` is the event time from one window to the next; evidence does not outlive a gap as long as it took to gather."""
        self._lasting = lasting
        self._hop_ns = hop_ns
        self._cap = max(lasting.threshold, level_at(lasting, budget_per_hour) + _SURPLUS * lasting.scale)
        self._sum = 0.0
        self._windows = 0
        self._end_ns: int | None = None

    def step(self, normal_score: float, end_ns: int) -> float:
        """Take in the window that ended at `end_ns`; returns how often an hour normal operation gathers as much as there is now."""
        since_ns = 0 if self._end_ns is None else end_ns - self._end_ns
        if not 0 <= since_ns <= self._hop_ns * (1 + self._windows):
            self._sum, self._windows = 0.0, 0
        self._end_ns = end_ns
        self._sum = min(self._cap, max(0.0, self._sum + normal_score - self._lasting.reference))
        self._windows = self._windows + 1 if self._sum else 0
        return rate_of(self._lasting, self._sum)


def rate_of(lasting: Lasting, level: float) -> float:
    """Excursions an hour that come to `level`; infinite where there is no evidence at all."""
    if level <= 0:
        return math.inf
    return lasting.rate_per_hour * math.exp(-(level - lasting.threshold) / lasting.scale)


def level_at(lasting: Lasting, rate_per_hour: float) -> float:
    """The level that normal operation comes to so often."""
    return lasting.threshold + lasting.scale * math.log(lasting.rate_per_hour / rate_per_hour)


def likelihoods(calibration: Calibration, scores: npt.ArrayLike) -> list[Likelihood]:
    """Of each of the scores [n]."""
    rates = exceedances_per_hour(calibration, scores)
    return list(map(Likelihood, rates.tolist(), normal_scores(calibration, rates).tolist()))


def normal_scores(calibration: Calibration, rates: Float64Array) -> Float64Array:
    """Exceedance rates [n] as standard normal deviates [n] of equal probability, by the share of normal windows that score as high.

    They lie within -4 and 4; NaN stays NaN.
    """
    most = calibration.body_rates[0] if calibration.body_rates else calibration.rate_per_hour
    with np.errstate(divide="ignore", invalid="ignore"):
        unlikely = np.minimum(-np.log(rates / most), _GRID[-1])
    normal: Float64Array = np.clip(np.interp(unlikely, _GRID, _NORMAL_SCORES), -_MOST, _MOST)
    return normal


def sums(normal: npt.ArrayLike, reference: float) -> Float64Array:
    """The cumulative sum after each of the normal scores [n], without a cap: what `Evidence` gathers, all at once."""
    steps = np.cumsum(np.asarray(normal, np.float64) - reference)
    gathered: Float64Array = steps - np.minimum(np.minimum.accumulate(steps), 0.0)
    return gathered

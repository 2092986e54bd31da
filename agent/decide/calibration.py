"""How often normal operation would score this high: the bundle's calibration, as a rate per hour."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

_LEAST_RATE = float(np.finfo(np.float64).tiny)


class Lasting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the sum behaves in normal operation: excursions above `threshold` come `rate_per_hour`, and those that come to `level` or
    more exp(-(level - threshold) / scale) times as often.

    That their heights fall off exponentially holds for correlated scores too (Siegmund 1985, chapter 2; Asmussen 2003, chapter XIII).
    `reference` is what a score must exceed to count; `excursions` are those that the fit rests on.
    """

    reference: float
    threshold: float
    rate_per_hour: float
    scale: float
    excursions: int


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Peaks over a threshold on held-out normal data, after declustering (Coles 2001, chapter 4).

    Above `threshold` the rate of separate exceedances an hour is
    `rate_per_hour * (1 + shape * (score - threshold) / scale) ** (-1 / shape)`, for shape 0 its limit
    `rate_per_hour * exp(-(score - threshold) / scale)`. Below it the rate is read off `body_scores` (ascending)
    and `body_rates` (descending), per hour, by interpolation of the logarithm. `hours` is the normal time it rests on, `clusters` the
    separate exceedances in it, and `independent` as how many they count where they come in bouts; None where nobody counted.
    """

    threshold: float
    rate_per_hour: float
    shape: float
    scale: float
    body_scores: list[float]
    body_rates: list[float]
    hours: float
    clusters: int
    independent: float | None = None
    lasting: Lasting | None = None  # where there were too few excursions to know, scores count one by one only


def exceedances_per_hour(calibration: Calibration, scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """How often an hour normal operation would give scores at least this high; scores [n] to rates [n].

    NaN stays NaN. A higher score never has a higher rate. Zero only where the fitted tail ends (shape below 0, score beyond
    `threshold - scale / shape`): elsewhere a rate too small for a float is the least one, for no finite data prove "never".
    """
    score = np.asarray(scores, np.float64)
    rate = np.where(score > calibration.threshold, _tail(calibration, score), _body(calibration, score))
    return np.where(np.isnan(score), np.nan, rate)


def _body(calibration: Calibration, score: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rates read off the sorted scores; never below the rate at the threshold, where the tail takes over."""
    if not calibration.body_scores:
        return np.full_like(score, calibration.rate_per_hour)
    logarithms = np.log(np.maximum(calibration.body_rates, _LEAST_RATE))
    body: npt.NDArray[np.float64] = np.exp(np.interp(score, calibration.body_scores, logarithms))
    return np.maximum(body, calibration.rate_per_hour)


def _tail(calibration: Calibration, score: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The generalised Pareto tail (Coles 2001, equation 4.2), in logarithms so that a small shape keeps its digits."""
    shape = calibration.shape
    excess = np.maximum(score - calibration.threshold, 0.0) / calibration.scale
    if shape == 0:
        exponent = -excess
    else:
        with np.errstate(divide="ignore"):  # log 0 = -inf is the end of a bounded tail
            exponent = -np.log1p(np.maximum(shape * excess, -1.0)) / shape
    rate = calibration.rate_per_hour * np.exp(exponent)
    return rate if shape < 0 else np.maximum(rate, _LEAST_RATE)

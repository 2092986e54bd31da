"""How soon the drift of `faults` could be found at all: by a test that knows the noise's law and the drift's slope, and not when it began or which way it goes."""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve

from tests.bench import noise

_AUTOCORRELATION = 0.9
_MONTHS, _MONTH_DAYS = 8, 30
_FIRST_SEED = 9_000
_AGES_S = range(120, 781, 20)  # of a drift, beyond which it is found anyway
_BLOCK_S = 7_200  # excursions in two such stretches of time are two


def delays_s(drifts: list[np.ndarray], slope: float, begins_s: int) -> list[int]:
    """Seconds from the begin of each drift to its alarm, at one false alarm in a month; samples are those of `noise`'s "ar1", one a second."""
    threshold = _threshold(slope)
    found = [np.flatnonzero(_evidence(samples, slope)[begins_s:] >= threshold) for samples in drifts]
    return [int(each[0]) + 1 for each in found]


def _evidence(samples: np.ndarray, slope: float) -> np.ndarray:
    """The log of the likelihood ratio of the likeliest beginning, after each sample but the first (Lorden 1971), for either sign."""
    spread = np.sqrt(1 - _AUTOCORRELATION**2)
    innovations = (samples[1:] - _AUTOCORRELATION * samples[:-1]) / spread
    best = np.full(len(innovations), -np.inf)
    for age_s in _AGES_S:
        seconds = np.arange(1, age_s + 1)
        expected = slope * ((1 - _AUTOCORRELATION) * seconds + _AUTOCORRELATION) / spread
        matched = fftconvolve(innovations, expected[::-1])[: len(innovations)]
        best = np.maximum(best, np.abs(matched) - expected @ expected / 2)
    return best


def _threshold(slope: float) -> float:
    """What noise alone exceeds once a month."""
    highest: list[float] = []
    for month in range(_MONTHS):
        samples = noise.draw("ar1", _MONTH_DAYS, 1, _FIRST_SEED + month)[:, 0].astype(np.float64)
        evidence = _evidence(samples, slope)
        blocks = evidence[: len(evidence) // _BLOCK_S * _BLOCK_S].reshape(-1, _BLOCK_S)
        highest += blocks.max(axis=1).tolist()
    return sorted(highest)[-_MONTHS]

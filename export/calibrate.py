"""Scores of held-out normal operation to a rate per hour: peaks over a threshold, declustered, with a cautious tail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from agent.decide.calibration import Calibration
from agent.errors import ConfigError, Problem
from agent.types import Float32Array, Int64Array
from agent.window.contract import Contract

_MIN_WINDOWS = 20
_THRESHOLDS = (0.98, 0.95, 0.9, 0.85, 0.8)
_ENOUGH_CLUSTERS = 20
_HEAVIEST_SHAPE = 0.5
_BODY_LEVELS = 16
_NS_PER_HOUR = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The calibration, and in plain words what the data behind it can and cannot support."""

    calibration: Calibration
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Peaks:
    """What lies above one threshold: how many windows, and the highest score of each separate excursion."""

    threshold: float
    windows: int
    maxima: npt.NDArray[np.float64]


def fit(runs: Sequence[tuple[Float32Array, Int64Array]], contract: Contract) -> Calibrated:
    """Fit to (score [n], end_ns [n]) of each held-out normal run; raises ConfigError for too little data.

    Excursions are separate where their windows share no cell (runs declustering, Coles 2001, section 5.3.2). The tail is a
    generalised Pareto distribution with a shape in [0, 0.5]: never lighter than exponential, and exponential
    where there are fewer than 20 excursions. Its scale is raised by one standard error, so that the promised rate is
    rather too high than too low.
    """
    scores = np.concatenate([score for score, _ in runs]).astype(np.float64) if runs else np.empty(0)
    if len(scores) < _MIN_WINDOWS or np.ptp(scores) == 0:
        what = f"{len(scores)} held-out normal windows with {len(np.unique(scores))} different scores cannot be calibrated on"
        remedy = f'give a run with role = "calibrate" of at least {_MIN_WINDOWS} windows of normal operation'
        raise ConfigError([Problem("data set", what, remedy)])
    hours = len(scores) * contract.hop * contract.period_ns / _NS_PER_HOUR
    peaks = _choose_threshold(runs, scores, contract.window * contract.period_ns)
    shape, scale = _tail(peaks.maxima - peaks.threshold)
    body_scores, body_rates = _body(scores, peaks, hours)
    calibration = Calibration(
        threshold=peaks.threshold,
        rate_per_hour=len(peaks.maxima) / hours,
        shape=shape,
        scale=scale,
        body_scores=body_scores,
        body_rates=body_rates,
        hours=hours,
        clusters=len(peaks.maxima),
    )
    return Calibrated(calibration, _remarks(calibration))


def _choose_threshold(
    runs: Sequence[tuple[Float32Array, Int64Array]], scores: npt.NDArray[np.float64], separation_ns: int
) -> _Peaks:
    """The highest threshold with enough separate excursions, else the one with the most of them."""
    found = []
    for quantile in _THRESHOLDS:
        threshold = float(np.quantile(scores, quantile))
        maxima = np.concatenate([cluster_maxima(score, end_ns, threshold, separation_ns) for score, end_ns in runs])
        found.append(_Peaks(threshold, int((scores > threshold).sum()), maxima))
    enough = [peaks for peaks in found if len(peaks.maxima) >= _ENOUGH_CLUSTERS]
    return enough[0] if enough else max(found, key=lambda peaks: len(peaks.maxima))


def cluster_maxima(
    score: Float32Array, end_ns: Int64Array, threshold: float, separation_ns: int
) -> npt.NDArray[np.float64]:
    """The highest score of each group of exceedances that lie less than `separation_ns` apart."""
    exact = score.astype(np.float64)  # else numpy would round the threshold to float32
    above = np.flatnonzero(exact > threshold)
    if len(above) == 0:
        return np.empty(0)
    starts = np.flatnonzero(np.diff(end_ns[above], prepend=end_ns[above[0]] - separation_ns) >= separation_ns)
    return np.maximum.reduceat(exact[above], starts)


def _tail(excesses: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Shape and scale of the generalised Pareto distribution of `excesses` (all above 0)."""
    shape, scale = 0.0, float(excesses.mean())
    if len(excesses) >= _ENOUGH_CLUSTERS:
        free, _, _ = stats.genpareto.fit(excesses, floc=0)
        shape = float(np.clip(free, 0.0, _HEAVIEST_SHAPE))
        if shape > 0:
            scale = float(stats.genpareto.fit(excesses, f0=shape, floc=0)[2])
    return shape, scale * (1 + 1 / float(np.sqrt(len(excesses))))


def _body(scores: npt.NDArray[np.float64], peaks: _Peaks, hours: float) -> tuple[list[float], list[float]]:
    """Scores up to the threshold and their rates; windows an excursion, as found at the threshold, hold below it too."""
    at_threshold = float((scores <= peaks.threshold).mean())
    levels = np.unique(np.quantile(scores, np.linspace(0, at_threshold, _BODY_LEVELS)))
    levels = np.append(levels[levels < peaks.threshold], peaks.threshold)
    windows_above = np.array([(scores > level).sum() for level in levels])
    rates = windows_above * (len(peaks.maxima) / peaks.windows) / hours
    return [float(level) for level in levels], [float(rate) for rate in rates]


def _remarks(calibration: Calibration) -> tuple[str, ...]:
    hours = f"{calibration.hours:.3g} h"
    basis = (
        f"calibrated on {hours} of normal operation with {calibration.clusters} separate excursions; "
        f"a budget rarer than one false alarm in {hours} is extrapolated"
    )
    if calibration.clusters >= _ENOUGH_CLUSTERS:
        return (basis,)
    doubt = (
        f"{calibration.clusters} excursions are too few to fit the shape of the tail ({_ENOUGH_CLUSTERS} would do): an "
        "exponential tail is assumed; calibrate on more normal operation before relying on rare budgets"
    )
    return basis, doubt

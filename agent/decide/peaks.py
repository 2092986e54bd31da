"""Scores of normal operation to a rate per hour: peaks over a threshold, declustered, with a cautious tail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from agent.decide import gpd
from agent.decide.calibration import Calibration, Lasting, exceedances_per_hour
from agent.decide.lasting import normal_scores, sums
from agent.types import Float32Array, Int64Array

Float64Array = npt.NDArray[np.float64]
ScoredRun = tuple[Float32Array, Int64Array]  # score [n] and end_ns [n] of the windows of one stretch of operation

MIN_WINDOWS = 20
ENOUGH_CLUSTERS = 20
_THRESHOLDS = (0.98, 0.95, 0.9, 0.85, 0.8)
_HEAVIEST_SHAPE = 1.0  # squares of heavy-tailed readings have tails as heavy as this
_UPPER = 1.645
_BODY_LEVELS = 16
_REFERENCE = 0.5  # half of the smallest shift, in standard deviations, that is to be found fast (Page's rule)
_HIGHEST_EXCURSIONS = 0.1  # the exponential law holds for high ones
_NS_PER_HOUR = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class _Peaks:
    """What lies above one threshold: how many windows, and the highest score of each separate excursion."""

    threshold: float
    windows: int
    maxima: Float64Array


def fit(runs: Sequence[ScoredRun], window_ns: int, hop_ns: int) -> Calibration:
    """Fit to normal runs; windows are `window_ns` long, one every `hop_ns`. Raises ValueError for too little data.

    Excursions are separate where their windows share no cell (runs declustering, Coles 2001, section 5.3.2). The tail is a
    generalised Pareto distribution with a shape in [0, 1]: never lighter than exponential, and exponential
    where there are fewer than 20 excursions. Its scale is raised to the upper end of its 90 % interval and a shape above 0 by one
    standard error, so that the promised rate is rather too high than too low.
    """
    scores = np.concatenate([score for score, _ in runs]).astype(np.float64) if runs else np.empty(0)
    if len(scores) < MIN_WINDOWS or np.ptp(scores) == 0:
        what = f"{len(scores)} normal windows with {len(np.unique(scores))} different scores cannot be calibrated on"
        raise ValueError(f"{what}; {MIN_WINDOWS} windows are the least")
    hours = len(scores) * hop_ns / _NS_PER_HOUR
    peaks = _choose_threshold(runs, scores, window_ns)
    shape, scale = _tail(peaks.maxima - peaks.threshold)
    body_scores, body_rates = _body(scores, peaks, hours)
    by_window = Calibration(
        threshold=peaks.threshold,
        rate_per_hour=len(peaks.maxima) / hours,
        shape=shape,
        scale=scale,
        body_scores=body_scores,
        body_rates=body_rates,
        hours=hours,
        clusters=len(peaks.maxima),
        independent=_independent(runs, peaks, hop_ns),
    )
    normal = [normal_scores(by_window, exceedances_per_hour(by_window, score)) for score, _ in runs]
    return msgspec.structs.replace(by_window, lasting=lasting(normal, hours))


def cluster_maxima(score: Float32Array, end_ns: Int64Array, threshold: float, separation_ns: int) -> Float64Array:
    """The highest score of each group of exceedances that lie less than `separation_ns` apart."""
    exact = score.astype(np.float64)  # else numpy would round the threshold to float32
    above = np.flatnonzero(exact > threshold)
    if len(above) == 0:
        return np.empty(0)
    starts = np.flatnonzero(np.diff(end_ns[above], prepend=end_ns[above[0]] - separation_ns) >= separation_ns)
    return np.maximum.reduceat(exact[above], starts)


def extremal_index(gaps: npt.NDArray[np.integer]) -> float:
    """One over how many exceedances come together, from the gaps between them in windows (Ferro, Segers 2003: the intervals estimator)."""
    t = gaps.astype(np.float64)
    if len(t) == 0:
        return 1.0
    if t.max() <= 2:
        return float(min(1.0, 2 * t.sum() ** 2 / (len(t) * (t * t).sum())))
    return float(min(1.0, 2 * (t - 1).sum() ** 2 / (len(t) * ((t - 1) * (t - 2)).sum())))


def _choose_threshold(runs: Sequence[ScoredRun], scores: Float64Array, separation_ns: int) -> _Peaks:
    """The highest threshold with enough separate excursions, else the one with the most of them."""
    found = []
    for quantile in _THRESHOLDS:
        threshold = float(np.quantile(scores, quantile))
        maxima = np.concatenate([cluster_maxima(score, end_ns, threshold, separation_ns) for score, end_ns in runs])
        found.append(_Peaks(threshold, int((scores > threshold).sum()), maxima))
    enough = [peaks for peaks in found if len(peaks.maxima) >= ENOUGH_CLUSTERS]
    return enough[0] if enough else max(found, key=lambda peaks: len(peaks.maxima))


def _independent(runs: Sequence[ScoredRun], peaks: _Peaks, hop_ns: int) -> float:
    """As how many independent events the excursions count: they may come in bouts that last longer than a window."""
    exceeding = [end_ns[score.astype(np.float64) > peaks.threshold] for score, end_ns in runs]
    gaps = np.concatenate([np.diff(end_ns) // hop_ns for end_ns in exceeding])
    return min(float(len(peaks.maxima)), extremal_index(gaps) * peaks.windows)


def _tail(excesses: Float64Array) -> tuple[float, float]:
    """Shape and scale of the generalised Pareto distribution of `excesses` (all above 0)."""
    shape, scale = 0.0, float(excesses.mean())
    if len(excesses) >= ENOUGH_CLUSTERS:
        free, _ = gpd.fit(excesses)
        if free > 0:
            error = (1 + free) / np.sqrt(len(excesses))  # Coles 2001, section 4.3.2
            shape = float(min(free + error, _HEAVIEST_SHAPE))
            scale = gpd.scale_given(shape, excesses)
    return shape, scale * _cautious(len(excesses))


def _cautious(excesses: int) -> float:
    """What raises an estimated scale to the upper end of its 90 % interval."""
    return 1 + _UPPER / float(np.sqrt(excesses))


def lasting(runs: Sequence[Float64Array], hours: float) -> Lasting | None:
    """From the normal scores [n] of each run: heights of the excursions of the cumulative sum, exponential above their threshold; None where there are too few to tell."""
    heights = np.concatenate([_heights(sums(normal, _REFERENCE)) for normal in runs])
    if len(heights) < ENOUGH_CLUSTERS:
        return None
    enough = max(ENOUGH_CLUSTERS, round(_HIGHEST_EXCURSIONS * len(heights)))
    threshold = float(np.sort(heights)[-enough])
    excesses = heights[heights > threshold] - threshold
    if len(excesses) < ENOUGH_CLUSTERS // 2:
        return None
    scale = float(excesses.mean()) * _cautious(len(excesses))
    return Lasting(
        reference=_REFERENCE,
        threshold=threshold,
        rate_per_hour=len(excesses) / hours,
        scale=scale,
        excursions=len(excesses),
    )


def _heights(sums_: Float64Array) -> Float64Array:
    """The highest point of each excursion from zero."""
    above = np.concatenate(([False], sums_ > 0, [False]))
    starts, ends = (
        np.flatnonzero(np.diff(above.astype(np.int8)) == 1),
        np.flatnonzero(np.diff(above.astype(np.int8)) == -1),
    )
    return np.array([sums_[start:end].max() for start, end in zip(starts, ends, strict=True)], np.float64)


def _body(scores: Float64Array, peaks: _Peaks, hours: float) -> tuple[list[float], list[float]]:
    """Scores up to the threshold and their rates; windows an excursion, as found at the threshold, hold below it too."""
    at_threshold = float((scores <= peaks.threshold).mean())
    levels = np.unique(np.quantile(scores, np.linspace(0, at_threshold, _BODY_LEVELS)))
    levels = np.append(levels[levels < peaks.threshold], peaks.threshold)
    windows_above = np.array([(scores > level).sum() for level in levels])
    rates = windows_above * (len(peaks.maxima) / peaks.windows) / hours
    return [float(level) for level in levels], [float(rate) for rate in rates]

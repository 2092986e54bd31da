"""NAB's score: early detections of labelled windows against false alarms, in three profiles, by one threshold for all series.

Lavin and Ahmad 2015, "Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly Benchmark", as its program
computes it (github.com/numenta/NAB, version 1.1). The threshold that is best on the labels is the published practice; `score` takes
any threshold, one for each series too, so that one chosen without labels can stand beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agent.types import Int64Array
from export.rows import Float64Array

PROBATION = 0.15
_PROBATION_ROWS = 5_000  # of a longer series no more than the share of so many rows is spared
_FAR_BEHIND = 3.0  # window widths after which a false alarm counts in full


@dataclass(frozen=True, slots=True)
class Weights:
    """What a window found at its first row, a false alarm, and a missed window are worth."""

    found: float
    false: float
    missed: float


PROFILES: Mapping[str, Weights] = {
    "standard": Weights(1.0, 0.11, 1.0),
    "reward_low_FP_rate": Weights(1.0, 0.22, 1.0),
    "reward_low_FN_rate": Weights(1.0, 0.11, 2.0),
}


@dataclass(frozen=True, slots=True, eq=False)
class ScoredSeries:
    """One series: scores [n], larger is stranger, and the first and last row of each labelled window, ascending, apart.

    Detections before row `begin` count for nothing; None spares what NAB's probation spares.
    """

    scores: Float64Array
    windows: Sequence[tuple[int, int]]
    begin: int | None = None

    @property
    def first_row(self) -> int:
        """The first row that counts."""
        return probation_rows(len(self.scores)) if self.begin is None else self.begin


@dataclass(frozen=True, slots=True)
class Best:
    """The threshold (scores at or above it are detections; inf: none is) with the highest score, and that score."""

    threshold: float
    score: float


def windows_as_rows(t: Int64Array, windows: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Windows given as times, as rows of `t` [n]: the first row with each time; raises ValueError where a time is not in `t`."""
    first = {at: row for row, at in reversed(list(enumerate(t.tolist())))}
    if absent := [at for window in windows for at in window if at not in first]:
        raise ValueError(f"no row has the time {absent[0]}, an edge of a labelled window")
    return [(first[start], first[end]) for start, end in windows]


def probation_rows(rows: int) -> int:
    """How many rows at the beginning of a series are for learning: detections there count for nothing."""
    return math.ceil(min(math.floor(PROBATION * rows), PROBATION * _PROBATION_ROWS))


def score(series: Sequence[ScoredSeries], thresholds: float | Sequence[float], profile: str = "standard") -> float:
    """The score at one threshold for all, or at each series' own: 0 for no detections at all, 100 for each window at its first row."""
    weights = PROFILES[profile]
    each = np.broadcast_to(np.asarray(thresholds, np.float64), len(series))
    raw = sum(_raw(one, float(threshold), weights) for one, threshold in zip(series, each, strict=True))
    return _normalised(raw, series, weights)


def best(series: Sequence[ScoredSeries], profile: str = "standard") -> Best:
    """The threshold that the labels like best, as NAB's leaderboard chooses it."""
    weights = PROFILES[profile]
    scores, gains = (np.concatenate(parts) for parts in zip(*(_gains(one, weights) for one in series), strict=True))
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    raw = -weights.missed * sum(len(one.windows) for one in series) + np.cumsum(gains[order])
    last_of_ties = np.append(scores[1:] != scores[:-1], True)
    scores, raw = scores[last_of_ties], raw[last_of_ties]
    nothing = _normalised(-weights.missed * sum(len(one.windows) for one in series), series, weights)
    if not len(raw) or _normalised(float(raw.max()), series, weights) <= nothing:
        return Best(math.inf, nothing)
    at = int(raw.argmax())
    return Best(float(scores[at]), _normalised(float(raw[at]), series, weights))


def row_values(series: ScoredSeries, weights: Weights) -> tuple[Float64Array, Int64Array]:
    """What a detection at each row is worth [n], and the index of the window that it falls in [n], -1 outside.

    Inside a window of w rows the k-th row (from 0) earns sigma((k - w) / w) / sigma(-1) of `found`, outside it costs sigma of
    the distance to the window before, in widths of that window, of `false`; sigma(x) = 2 / (1 + exp(5 x)) - 1.
    """
    rows = len(series.scores)
    values, window = np.full(rows, -weights.false), np.full(rows, -1, np.int64)
    for index, (first, last) in enumerate(series.windows):
        width, until = last - first + 1, rows
        if index + 1 < len(series.windows):
            until = series.windows[index + 1][0]
        place = (np.arange(width) - width) / width
        values[first : last + 1] = weights.found * _sigma(place) / _sigma(np.array([-1.0]))
        window[first : last + 1] = index
        behind = np.arange(1, until - last) / max(width - 1, 1)
        values[last + 1 : until] = weights.false * np.where(behind >= _FAR_BEHIND, -1.0, _sigma(behind))
    return values, window


def _raw(series: ScoredSeries, threshold: float, weights: Weights) -> float:
    values, window = row_values(series, weights)
    detected = series.scores >= threshold
    detected[: series.first_row] = False
    total = float(values[detected & (window < 0)].sum())
    for index in range(len(series.windows)):
        earned = values[detected & (window == index)]
        total += float(earned.max()) if len(earned) else -weights.missed
    return total


def _gains(series: ScoredSeries, weights: Weights) -> tuple[Float64Array, Float64Array]:
    """Scores after probation, and what the total gains as the threshold falls past each: in a window only what tops the best so far."""
    values, window = row_values(series, weights)
    begin = series.first_row
    scores, values, window = series.scores[begin:].astype(np.float64), values[begin:], window[begin:]
    gains = values.copy()
    for index in range(len(series.windows)):
        rows = np.flatnonzero(window == index)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        gains[rows] = np.diff(np.maximum.accumulate(np.concatenate(([-weights.missed], values[rows]))))
    return scores, gains


def _normalised(raw: float, series: Sequence[ScoredSeries], weights: Weights) -> float:
    windows = sum(len(one.windows) for one in series)
    if windows == 0:
        return float("nan")
    nothing, perfect = -weights.missed * windows, weights.found * windows
    return 100 * (raw - nothing) / (perfect - nothing)


def _sigma(place: Float64Array) -> Float64Array:
    value: Float64Array = 2 / (1 + np.exp(5 * place)) - 1
    return value

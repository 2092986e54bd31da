"""Volume under the surface: ROC and precision-recall areas averaged over how far the labels' borders may be off.

Paparrizos et al. 2022, "Volume Under the Surface: A New Accuracy Evaluation Measure for Time-Series Anomaly Detection" (PVLDB 15,
2774), in the form that TSB-AD (NeurIPS 2024) ranks by. For a buffer of l windows every labelled stretch gets slopes
sqrt(1 - d / l) over l // 2 windows on either side; at each of 250 thresholds

    TP = sum of soft labels flagged        P' = P + half of the slopes flagged        N' = n - P'
    recall = min(TP / P', 1) · share of stretches in which anything is flagged
    false alarm rate = (flagged - TP) / N'        precision = TP / flagged

and the areas are averaged over l = 0, 1, ... `buffer`. Several runs are counted together, and no slope crosses from one to another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.types import Int64Array
from export.judge.stretches import stretches
from export.rows import BoolArray, Float64Array

_THRESHOLDS = 250


@dataclass(frozen=True, slots=True)
class Volumes:
    """VUS-ROC and VUS-PR, each 0 to 1."""

    roc: float
    pr: float


@dataclass(frozen=True, slots=True, eq=False)
class _Ranked:
    """All scores pooled, in order of descent; `flagged` [k] is how many reach each of the thresholds [k]."""

    scores: Float64Array
    order: Int64Array
    thresholds: Float64Array
    flagged: Int64Array


def volumes(runs: Sequence[tuple[npt.ArrayLike, BoolArray]], buffer: int) -> Volumes:
    """Volumes over (scores [n], anomalous [n]) of each run, for buffers of 0 to `buffer` windows.

    Raises ValueError where not both anomalous and normal windows are there.
    """
    scores = [np.asarray(score, np.float64) for score, _ in runs]
    labels = [anomalous for _, anomalous in runs]
    positive = sum(int(each.sum()) for each in labels)
    if not 0 < positive < sum(map(len, labels)):
        raise ValueError("the volume under the surface needs anomalous windows and normal ones")
    ranked = _rank(np.concatenate(scores))
    areas = np.array([_areas(ranked, scores, labels, length) for length in range(buffer + 1)])
    roc, pr = areas.mean(axis=0)
    return Volumes(float(roc), float(pr))


def _rank(scores: Float64Array) -> _Ranked:
    order = np.argsort(-scores, kind="stable")
    descending = scores[order]
    thresholds = descending[np.linspace(0, len(scores) - 1, _THRESHOLDS).astype(int)]
    flagged = np.searchsorted(-descending, -thresholds, side="right")
    return _Ranked(scores, order, thresholds, flagged)


def _areas(
    ranked: _Ranked, scores: Sequence[Float64Array], labels: Sequence[BoolArray], length: int
) -> tuple[float, float]:
    """Areas under the ROC and the precision-recall curve for one buffer."""
    hard = np.concatenate(labels)
    soft = np.concatenate([soft_labels(each, length) for each in labels])
    hits = np.cumsum(soft[ranked.order])[ranked.flagged - 1]
    slopes = np.cumsum(np.where(hard, 0.0, soft)[ranked.order])[ranked.flagged - 1]
    peaks = np.concatenate([_peaks(score, each, length) for score, each in zip(scores, labels, strict=True)])
    seen = (peaks[None, :] >= ranked.thresholds[:, None]).mean(axis=1)
    positive = hard.sum() + slopes / 2
    recall = np.minimum(hits / positive, 1.0) * seen
    false_rate = (ranked.flagged - hits) / (len(hard) - positive)
    x, y = np.concatenate(([0.0], false_rate, [1.0])), np.concatenate(([0.0], recall, [1.0]))
    roc = float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())
    pr = float((np.diff(recall, prepend=0.0) * hits / ranked.flagged).sum())
    return roc, pr


def soft_labels(anomalous: BoolArray, length: int) -> Float64Array:
    """Labels [n] with slopes of `length` // 2 windows before and after each stretch; slopes that meet add up to 1 at most."""
    labels = anomalous.astype(np.float64)
    reach = length // 2
    if reach == 0 or not anomalous.any():
        return labels
    slope = np.concatenate(([0.0], np.sqrt(1 - np.arange(1, reach + 1) / length)))
    first, last = stretches(anomalous)
    starts, ends = np.zeros(len(labels)), np.zeros(len(labels))
    starts[first], ends[last] = 1.0, 1.0
    after = np.convolve(ends, slope)[: len(labels)]
    before = np.convolve(starts[::-1], slope)[: len(labels)][::-1]
    soft: Float64Array = np.minimum(labels + before + after, 1.0)
    return soft


def _peaks(scores: Float64Array, anomalous: BoolArray, length: int) -> Float64Array:
    """The highest score within each stretch and its slopes; stretches whose slopes touch count as one."""
    if not anomalous.any():
        return np.empty(0)
    first, last = stretches(anomalous)
    reach = length // 2
    apart = last[:-1] + reach < first[1:] - reach
    begins = np.maximum(first[np.append(True, apart)] - reach, 0)
    ends = np.minimum(last[np.append(apart, True)] + reach, len(scores) - 1)
    return np.array([scores[begin : end + 1].max() for begin, end in zip(begins, ends, strict=True)])

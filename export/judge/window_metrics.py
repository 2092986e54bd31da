"""What is counted window by window, for many weightings of the windows at once: the bootstrap's resamples, or all ones.

Precision, recall, F1, accuracy and the two error rates are ratios of counts; ROC AUC is the share of anomalous-normal pairs in
the right order, half for ties (Fawcett 2006); average precision is the sum of precision times recall gained over the distinct
scores, descending, without interpolation. scikit-learn's definitions, with windows weighted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from export.rows import BoolArray, Float64Array

NAMES = (
    "precision",
    "recall",
    "f1",
    "accuracy",
    "false_alarm_rate",
    "missed_alarm_rate",
    "roc_auc",
    "average_precision",
    "false_alarms_per_day",
    "event_recall",
)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Windows of all runs, one after the other, all arrays [n].

    `false_alarms` raised at each, `events` that begin at each and `events_found` of them; a window stands for `hours` of the machine's time.
    """

    score: Float64Array
    anomalous: BoolArray
    flagged: BoolArray
    false_alarms: Float64Array
    events: Float64Array
    events_found: Float64Array
    hours: float


def measure(sample: Sample, weights: Float64Array) -> dict[str, Float64Array]:
    """Every metric of NAMES under each row of `weights` [resamples, n]; nan where it is not defined."""
    anomalous = sample.anomalous.astype(np.float64)
    positive, total = weights @ anomalous, weights.sum(axis=1)
    negative = total - positive
    hits = weights @ (sample.anomalous & sample.flagged).astype(np.float64)
    false = weights @ (~sample.anomalous & sample.flagged).astype(np.float64)
    has_positive = np.where(positive > 0, 1.0, np.nan)
    roc_auc, average_precision = _ranking(sample, weights)
    return {
        "precision": _ratio(hits, hits + false, otherwise=0.0) * has_positive,
        "recall": _ratio(hits, positive),
        "f1": 2 * hits / np.maximum(positive + hits + false, 1e-300) * has_positive,
        "accuracy": _ratio(hits + negative - false, total) * has_positive,
        "false_alarm_rate": _ratio(false, negative),
        "missed_alarm_rate": _ratio(positive - hits, positive),
        "roc_auc": roc_auc,
        "average_precision": average_precision,
        "false_alarms_per_day": _ratio(24 * (weights @ sample.false_alarms), negative * sample.hours),
        "event_recall": _ratio(weights @ sample.events_found, weights @ sample.events),
    }


def _ranking(sample: Sample, weights: Float64Array) -> tuple[Float64Array, Float64Array]:
    """ROC AUC and average precision [resamples]."""
    order = np.argsort(-sample.score, kind="stable")
    descending = sample.score[order]
    last_of_ties = np.flatnonzero(np.append(descending[1:] != descending[:-1], True))
    ordered = weights[:, order]
    anomalous = sample.anomalous[order]
    hits = np.cumsum(ordered * anomalous, axis=1)[:, last_of_ties]
    false = np.cumsum(ordered * ~anomalous, axis=1)[:, last_of_ties]
    gained, spoilt = np.diff(hits, axis=1, prepend=0.0), np.diff(false, axis=1, prepend=0.0)
    positive, negative = hits[:, -1], false[:, -1]
    both = np.where((positive > 0) & (negative > 0), 1.0, np.nan)
    roc_auc = _ratio((spoilt * (hits - gained / 2)).sum(axis=1), positive * negative)
    precision = hits / np.maximum(hits + false, 1e-300)
    average_precision = _ratio((gained * precision).sum(axis=1), positive) * both
    return roc_auc, average_precision


def _ratio(part: Float64Array, whole: Float64Array, otherwise: float = float("nan")) -> Float64Array:
    ratio: Float64Array = np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), otherwise)
    return ratio

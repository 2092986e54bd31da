"""SKAB's two scores: F1, FAR and MAR of rows, and the changepoint score with a 60 s window after each change.

The definitions are those behind SKAB's leaderboard (github.com/waico/SKAB, its `chp_score` with `window_width="60s"` and
`anomaly_window_destination="righter"`); counts and scores are pooled over the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.types import NANOSECONDS, Int64Array
from export.rows import BoolArray

WINDOW_NS = 60 * NANOSECONDS
_STEPS = 1_000  # SKAB reads its sigmoid off a table of so many steps


@dataclass(frozen=True, slots=True)
class Weights:
    """What a change found at once, an alarm elsewhere, and a change that was missed are worth."""

    found: float
    false: float
    missed: float


PROFILES: Mapping[str, Weights] = {
    "standard": Weights(1.0, -0.11, -1.0),
    "low_fp": Weights(1.0, -0.22, -1.0),
    "low_fn": Weights(1.0, -0.11, -2.0),
}


@dataclass(frozen=True, slots=True, eq=False)
class FlaggedRun:
    """The test part of one file, row by row: times ascending, all arrays [n]. `changed` marks rows labelled `changepoint`."""

    t_ns: Int64Array
    anomalous: BoolArray
    changed: BoolArray
    flagged: BoolArray


@dataclass(frozen=True, slots=True)
class RowScores:
    """F1, share of normal rows flagged (FAR) and of anomalous rows not flagged (MAR), the latter two in per cent."""

    f1: float
    far: float
    mar: float


def row_scores(runs: Sequence[FlaggedRun]) -> RowScores:
    """Rows of all runs counted together; nan where there is nothing to count."""
    anomalous = np.concatenate([run.anomalous for run in runs])
    flagged = np.concatenate([run.flagged for run in runs])
    hits, false = int((anomalous & flagged).sum()), int((~anomalous & flagged).sum())
    positive, negative = int(anomalous.sum()), int((~anomalous).sum())
    return RowScores(
        f1=_ratio(2 * hits, positive + hits + false),
        far=100 * _ratio(false, negative),
        mar=100 * _ratio(positive - hits, positive),
    )


def changepoint_scores(runs: Sequence[FlaggedRun], window_ns: int = WINDOW_NS) -> dict[str, float]:
    """Each profile's score: 0 for a detector that says nothing, 100 for one that reports each change at its first row and nothing else."""
    found: list[float] = []
    false = missed = 0
    for run in runs:
        at_ns = run.t_ns[edges(run.flagged)]
        windows = _windows(run.t_ns[run.changed], window_ns)
        inside = np.zeros(len(at_ns), np.bool_)
        for start, end in windows:
            within = (at_ns >= start) & (at_ns <= end)
            inside |= within
            if within.any():
                found.append(float(at_ns[within][0] - start) / max(end - start, 1))
            else:
                missed += 1
        false += int((~inside).sum())
    return {name: _score(weights, np.array(found), false, missed) for name, weights in PROFILES.items()}


def edges(flagged: BoolArray) -> BoolArray:
    """Reported changes: rows at which the flag differs from the row before, and the first row if it is flagged."""
    changed: BoolArray = np.diff(flagged.astype(np.int8), prepend=np.int8(0)) != 0
    return changed


def _windows(changes_ns: Int64Array, window_ns: int) -> list[tuple[int, int]]:
    """First and last time at which each change may be reported; a window that overlaps the one before begins where that one ends."""
    windows: list[tuple[int, int]] = []
    for start in changes_ns.tolist():
        end = start + window_ns
        windows.append((max(start, windows[-1][1]) if windows else start, end))
    return windows


def _score(weights: Weights, places: npt.NDArray[np.float64], false: int, missed: int) -> float:
    """`places` of the found changes in their windows, 0 to 1, earn from `found` down to `false` along a tanh."""
    steps = np.linspace(-np.pi / 2, np.pi / 2, _STEPS)
    curve = (1 - np.tanh(steps) / np.tanh(np.pi / 2)) / 2 * (weights.found - weights.false) + weights.false
    earned = curve[np.minimum((places * _STEPS).astype(int), _STEPS - 1)].sum()
    changes = len(places) + missed
    if changes == 0:
        return float("nan")
    raw = earned + weights.false * false + weights.missed * missed
    nothing, perfect = weights.missed * changes, weights.found * changes
    return float(100 * (raw - nothing) / (perfect - nothing))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")

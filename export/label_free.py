"""Choosing between models without labels: do they tell spoilt windows from normal ones they never saw, at all times alike?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from agent.errors import ConfigError, Problem
from agent.types import Float32Array
from export.synthetic import inject
from export.windows import Windows, stack

_MOST = 2_000  # windows; more would only cost time
_BLOCKS = 4
_LEAST = 2 * _BLOCKS


@dataclass(frozen=True, slots=True)
class LabelFree:
    """ROC AUC of synthetic anomalies against the normal windows of each block of time: mean and standard deviation over the blocks."""

    auc: float
    spread: float

    @property
    def value(self) -> float:
        """What to choose by: a model that is good at one time and blind at another is worth less than its mean."""
        return self.auc - self.spread


def judge(score: Callable[[Float32Array], Float32Array], normal: Sequence[Windows], seed: int) -> LabelFree:
    """Judge `score` ([n, channels, time] to [n]) on windows that the model was not fitted on.

    The blocks share one set of anomalies, so a level that drifts with time shows as spread. Raises ConfigError for too few windows.
    """
    windows = stack(normal)
    if len(windows) < _LEAST:
        what = f"{len(windows)} normal windows are left to judge a model by, {_LEAST} is the least"
        raise ConfigError(
            [Problem("data set", what, "record more normal operation, or take a shorter --window or --hop")]
        )
    chosen = windows[np.linspace(0, len(windows) - 1, min(len(windows), _MOST)).astype(int)]
    spoilt = inject(chosen, seed)
    strange = score(spoilt.windows[spoilt.labels != 0])
    found = [_auc(block, strange) for block in np.array_split(score(chosen), _BLOCKS)]
    return LabelFree(float(np.mean(found)), float(np.std(found)))


def _auc(normal: Float32Array, strange: Float32Array) -> float:
    truth = np.repeat([0, 1], [len(normal), len(strange)])
    return float(roc_auc_score(truth, np.concatenate([normal, strange])))

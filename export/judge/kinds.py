"""Whether a classifier names the kind that the labels name, window by window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from export.judge.scoring import ScoredRun
from export.models.classifier import Classifier
from export.train import classify


def class_metrics(model: Classifier, scored: Sequence[ScoredRun]) -> dict[str, float]:
    """`class_accuracy`, the share of windows whose most probable kind is the labelled one, and `class_balanced_accuracy`, the mean of that
    share over the kinds that occur. Normal operation is a kind. Nothing where no run has labels.
    """
    labelled = [each.windows for each in scored if each.windows.labels is not None and len(each.windows)]
    if not labelled:
        return {}
    told = np.concatenate([classify(model, windows.values)[2].argmax(1) for windows in labelled])
    truth = np.concatenate([windows.labels for windows in labelled if windows.labels is not None])
    right = told == truth
    recalls = [float(right[truth == kind].mean()) for kind in np.unique(truth)]
    return {"class_accuracy": float(right.mean()), "class_balanced_accuracy": float(np.mean(recalls))}

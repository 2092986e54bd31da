"""Class accuracy: of all windows, and with every kind alike; nothing without labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from export.judge.kinds import class_metrics
from export.judge.scoring import ScoredRun
from export.models.classifier import Classifier
from export.train import classify
from export.windows import Windows
from tests.harness.training import fitted, normal, with_faults


@pytest.fixture(scope="module")
def model() -> Classifier:
    found = fitted("fault-classifier", 3, 13)
    assert isinstance(found, Classifier)
    return found


def scored(windows: Windows) -> ScoredRun:
    """Only the windows matter here."""
    none = np.zeros(len(windows), np.float32)
    return ScoredRun(None, windows, none, none[:, None])


def test_accuracy_is_the_share_of_windows_told_by_their_kind(model: Classifier) -> None:
    windows = with_faults(normal(3, 13, n=30, seed=2))
    told = classify(model, windows.values)[2].argmax(1)
    right = windows.labels == told
    found = class_metrics(model, [scored(windows)])
    assert found["class_accuracy"] == pytest.approx(right.mean())
    recalls = [right[windows.labels == kind].mean() for kind in (0, 1)]
    assert found["class_balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert found["class_accuracy"] > 0.9


def test_a_kind_that_is_always_missed_halves_the_balanced_accuracy(model: Classifier) -> None:
    windows = normal(3, 13, n=40, seed=2)
    told = classify(model, windows.values)[2].argmax(1)
    labels = np.where(np.arange(40) < 4, 1 - told, told).astype(np.int64)
    one_kind = replace(windows, labels=labels)
    found = class_metrics(model, [scored(one_kind)])
    assert found["class_accuracy"] == pytest.approx(0.9)
    assert found["class_balanced_accuracy"] <= found["class_accuracy"]


def test_runs_without_labels_say_nothing(model: Classifier) -> None:
    assert class_metrics(model, [scored(normal(3, 13, n=5))]) == {}

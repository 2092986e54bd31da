"""The report's charts on hard cases: noisy labels, thousands of alarms, losses that were not finite, scores without spread."""

from __future__ import annotations

import numpy as np
import pytest

from export.data import Run
from export.judge.scoring import DecidedRun, ScoredRun
from export.report import charts
from export.windows import Windows

S = 1_000_000_000


def decided(score: np.ndarray, labels: np.ndarray | None, raised: list[int]) -> DecidedRun:
    n = len(score)
    t_ns = np.arange(n + 1) * S
    run = Run("run", "test", t_ns[:n], np.zeros((n, 1), np.float32), labels)
    windows = Windows("run", np.zeros((n, 1, 1), np.float32), t_ns[1:], labels, 0)
    scored = ScoredRun(run, windows, score.astype(np.float32), np.zeros((n, 1), np.float32))
    return DecidedRun(scored, np.zeros(n, np.bool_), raised)


def test_a_drawing_is_small_however_long_the_run_and_ragged_its_labels() -> None:
    n = 100_000
    noisy = decided(np.random.default_rng(0).gamma(1.0, 1.0, n), np.arange(n) % 2, [at * S for at in range(1, n)])
    assert len(charts.score_over_time(noisy, 3.0)) < 60_000


def test_a_fault_is_shaded_where_it_is_labelled() -> None:
    labels = ((np.arange(1_000) >= 250) & (np.arange(1_000) < 500)).astype(np.int64)
    drawn = charts.score_over_time(decided(np.ones(1_000), labels, [300 * S]), None)
    assert drawn.count('class="fault"') == 1
    assert drawn.count('class="dot alarm"') == 1
    assert "threshold" not in drawn
    left, width = (
        float(drawn.split('class="fault"')[1].split(f'{name}="')[1].split('"')[0]) for name in ("x", "width")
    )
    assert (left, width) == (pytest.approx(52 + 0.249 * 838, abs=1.5), pytest.approx(0.249 * 838, abs=1.5))


def test_one_window_alone_can_be_drawn() -> None:
    assert "<svg" in charts.score_over_time(decided(np.ones(1), None, []), 2.0)


def test_losses_that_are_not_finite_are_drawn_at_the_top() -> None:
    drawn = charts.training([(1.0, 2.0), (np.inf, 1.0), (0.5, np.nan)], 2)
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert drawn.count('class="dot c1"') == 1


def test_the_curves_mark_the_threshold_in_use() -> None:
    score = np.array([3.0, 2.0, 2.0, 1.0])
    anomalous = np.array([True, False, True, False])
    for draw in (charts.roc, charts.precision_recall):
        assert draw(score, anomalous, score > 2.5).count('class="dot c1"') == 1
    assert "dot c1" not in charts.precision_recall(score, anomalous, score > 5), "nothing flagged has no precision"

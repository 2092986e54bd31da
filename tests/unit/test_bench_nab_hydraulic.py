"""What the benchmarks on NAB and the hydraulic rig decide themselves: when a detection counts, and which cycles train."""

from __future__ import annotations

import numpy as np

from tests.bench.models_hydraulic import halves
from tests.bench.models_nab import LABEL_FREE, STANDS_ROWS, WINDOW, _detections, _scores


def test_a_detection_is_a_row_stranger_than_all_for_which_an_alarm_stands() -> None:
    scores = np.zeros(3 * STANDS_ROWS)
    scores[[10, 20, 30]] = 2, 1, 3
    scores[30 + STANDS_ROWS] = 3
    scores[31 + 2 * STANDS_ROWS] = 1
    found = np.flatnonzero(_detections(scores) > 0)
    assert found.tolist() == [10, 30, 31 + 2 * STANDS_ROWS]


def test_nothing_of_what_comes_later_is_in_a_score() -> None:
    values = np.random.default_rng(0).normal(size=400)
    later = values.copy()
    later[300:] += 100
    np.testing.assert_array_equal(_scores(values)[:300], _scores(later)[:300])
    assert _scores(later)[300] > LABEL_FREE


def test_the_label_free_threshold_gives_independent_exponential_readings_one_false_alarm_a_window() -> None:
    passed_by = (LABEL_FREE - 1) / 2
    assert np.isclose(4 * WINDOW ** -(1 + 2 * passed_by), 1 / WINDOW)


def test_of_each_stretch_under_one_condition_the_earlier_healthy_cycles_train() -> None:
    profile = np.array([[0, 0]] * 4 + [[0, 1]] * 3 + [[1, 0]] * 2)
    train, test = halves(profile[:, 0] == 0, profile)
    assert train.tolist() == [0, 1, 4, 5]
    assert test.tolist() == [2, 3, 6]

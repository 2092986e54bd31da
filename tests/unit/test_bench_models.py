"""The decisions that the SKAB benchmark takes on scores: when an alarm stands, and when a change is reported."""

from __future__ import annotations

import numpy as np

from tests.bench.models_skab import CHANGE_ROWS, HOLD, TRAINING_ROWS, alarm, movement, toggles


def test_an_alarm_stands_until_the_score_is_below_part_of_the_threshold() -> None:
    between = (1 + HOLD) / 2
    score = np.array([np.nan, 0, between, 2, between, HOLD / 2, between], np.float32)
    assert alarm(score, 1.0).tolist() == [False, False, False, True, True, False, False]


def test_movement_is_unknown_and_so_none_until_there_is_a_score_to_compare_with() -> None:
    score = np.full(3 * CHANGE_ROWS, np.nan, np.float32)
    score[CHANGE_ROWS:] = 1
    score[2 * CHANGE_ROWS :] = np.e
    moved = movement(score)
    np.testing.assert_allclose(moved[: 2 * CHANGE_ROWS], 0)
    np.testing.assert_allclose(moved[2 * CHANGE_ROWS :], 1, rtol=1e-6)


def test_a_change_is_reported_once_in_so_many_rows_and_never_in_training() -> None:
    moved = np.zeros(TRAINING_ROWS + 3 * CHANGE_ROWS, np.float32)
    moved[TRAINING_ROWS - 5 : TRAINING_ROWS + CHANGE_ROWS + 2] = 1
    changes = np.flatnonzero(np.diff(toggles(moved, 0.5).astype(int))) + 1
    assert changes.tolist() == [TRAINING_ROWS, TRAINING_ROWS + CHANGE_ROWS]

"""SKAB's scores on detectors whose score is known: silent, perfect, late, and trigger-happy."""

from __future__ import annotations

import numpy as np
import pytest

from export.judge.skab import FlaggedRun, changepoint_scores, edges, row_scores

S = 1_000_000_000


def run(flagged: np.ndarray, *, changes: tuple[int, ...] = (100, 300), rows: int = 500) -> FlaggedRun:
    anomalous = np.zeros(rows, np.bool_)
    anomalous[100:300] = True
    changed = np.zeros(rows, np.bool_)
    changed[list(changes)] = True
    return FlaggedRun(np.arange(rows) * S, anomalous, changed, flagged)


def flags(*spans: tuple[int, int], rows: int = 500) -> np.ndarray:
    flagged = np.zeros(rows, np.bool_)
    for start, end in spans:
        flagged[start:end] = True
    return flagged


def test_rows_are_counted_over_all_runs_together() -> None:
    scores = row_scores([run(flags((100, 200))), run(flags((300, 400)))])
    assert scores.f1 == pytest.approx(2 * 100 / (400 + 200))
    assert scores.far == pytest.approx(100 * 100 / 600)
    assert scores.mar == pytest.approx(75)


def test_flagging_everything_gives_the_f1_of_the_share_of_anomalies() -> None:
    scores = row_scores([run(flags((0, 500)))])
    assert (scores.f1, scores.far, scores.mar) == (pytest.approx(2 * 0.4 / 1.4), 100, 0)


def test_a_score_that_cannot_be_told_is_nan() -> None:
    normal = FlaggedRun(np.arange(3) * S, *(np.zeros(3, np.bool_) for _ in range(3)))
    assert np.isnan(row_scores([normal]).mar)
    assert np.isnan(changepoint_scores([normal])["standard"])


def test_silence_scores_0_and_each_change_at_its_first_row_100() -> None:
    assert set(changepoint_scores([run(flags())]).values()) == {0.0}
    assert list(changepoint_scores([run(flags((100, 300)))]).values()) == pytest.approx([100] * 3)


def test_a_change_found_later_earns_less_and_in_the_middle_of_its_minute_half() -> None:
    scores = [changepoint_scores([run(flags((100 + late, 300)))])["standard"] for late in (0, 10, 30, 50, 60)]
    assert scores == sorted(scores, reverse=True)
    middle = (1 - 0.11) / 2
    assert scores[2] == pytest.approx(100 * (middle + 1 + 2) / 4, abs=0.1)


def test_reports_outside_every_minute_cost_by_profile() -> None:
    """One report before the change, one after; the change at 300 is missed as the flag falls long before."""
    scores = changepoint_scores([run(flags((100, 200), (50, 60)))])
    earned = {"standard": 1 - 1 - 3 * 0.11, "low_fp": 1 - 1 - 3 * 0.22, "low_fn": 1 - 2 - 3 * 0.11}
    nothing = {"standard": -2, "low_fp": -2, "low_fn": -4}
    for name, score in scores.items():
        assert score == pytest.approx(100 * (earned[name] - nothing[name]) / (2 - nothing[name]))


def test_a_minute_that_overlaps_the_one_before_begins_where_that_one_ends() -> None:
    """Changes at 100 and 130: a report at 170 is 10 s into the 30 s left of the second."""
    late = changepoint_scores([run(flags((100, 170)), changes=(100, 130))])["standard"]
    step = np.tanh(np.linspace(-np.pi / 2, np.pi / 2, 1_000)[333]) / np.tanh(np.pi / 2)
    earned = 1 + (1 - step) / 2 * 1.11 - 0.11
    assert late == pytest.approx(100 * (earned + 2) / 4)


def test_edges_are_both_ends_of_every_flagged_span() -> None:
    assert np.flatnonzero(edges(flags((0, 2), (5, 7), rows=10))).tolist() == [0, 2, 5, 7]

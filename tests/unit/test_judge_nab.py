"""NAB's score on detectors whose score is known, and the sweep against trying each threshold."""

from __future__ import annotations

import math

import numpy as np
import pytest

from export.judge import nab

ROWS = 1_000
WINDOW = (500, 599)


def series(*detected: int, scores: np.ndarray | None = None) -> nab.ScoredSeries:
    if scores is None:
        scores = np.zeros(ROWS)
        scores[list(detected)] = 1.0
    return nab.ScoredSeries(scores, [WINDOW])


def sigma(place: float) -> float:
    return 2 / (1 + math.exp(5 * place)) - 1


@pytest.mark.parametrize("profile", nab.PROFILES)
def test_silence_scores_0_and_the_first_row_of_the_window_100(profile: str) -> None:
    assert nab.score([series()], 0.5, profile) == 0
    assert nab.score([series(500)], 0.5, profile) == pytest.approx(100)
    assert nab.score([series(500, 550, 599)], 0.5, profile) == pytest.approx(100), "later detections change nothing"


def test_a_later_detection_earns_less() -> None:
    found = nab.score([series(550)], 0.5)
    assert found == pytest.approx(100 * (1 + sigma(-0.5) / sigma(-1)) / 2)
    assert nab.score([series(599)], 0.5) < found


def test_a_false_alarm_costs_in_full_before_the_window_and_less_just_behind_it() -> None:
    assert nab.score([series(500, 400)], 0.5) == pytest.approx(100 - 100 * 0.11 / 2)
    assert nab.score([series(500, 400)], 0.5, "reward_low_FP_rate") == pytest.approx(100 - 100 * 0.22 / 2)
    assert nab.score([series(500, 610)], 0.5) == pytest.approx(100 + 100 * 0.11 * sigma(11 / 99) / 2)


def test_detections_in_probation_count_for_nothing() -> None:
    assert nab.probation_rows(ROWS) == 150
    assert nab.probation_rows(20_000) == 750
    assert nab.score([series(500, 0, 149)], 0.5) == pytest.approx(100)
    assert nab.score([series(500, 150)], 0.5) < 100


def test_a_missed_window_costs_double_where_misses_are_dear() -> None:
    both = [series(500), series()]
    assert nab.score(both, 0.5) == pytest.approx(50)
    assert nab.score(both, 0.5, "reward_low_FN_rate") == pytest.approx(50)
    assert nab.score([series(500, 400), series()], 0.5, "reward_low_FN_rate") == pytest.approx(50 - 100 * 0.11 / 6)


@pytest.mark.parametrize("profile", nab.PROFILES)
def test_the_sweep_finds_the_best_of_all_thresholds(profile: str) -> None:
    rng = np.random.default_rng(1)
    many = [
        nab.ScoredSeries(
            np.round(rng.normal(size=ROWS) + 2 * (abs(np.arange(ROWS) - 550) < 40), 1), [WINDOW, (800, 850)]
        )
        for _ in range(3)
    ]
    best = nab.best(many, profile)
    thresholds = np.unique(np.concatenate([one.scores for one in many]))
    tried = [nab.score(many, float(threshold), profile) for threshold in thresholds]
    assert best.score == pytest.approx(max(tried))
    assert nab.score(many, best.threshold, profile) == pytest.approx(best.score)
    assert best.score > 0


def test_where_every_threshold_harms_none_is_best() -> None:
    scores = np.arange(ROWS, 0, -1.0)
    scores[500:600] = -1.0
    assert nab.best([series(scores=scores)]) == nab.Best(math.inf, 0.0)


def test_each_series_may_have_its_own_threshold() -> None:
    high, low = series(500), series(scores=0.1 * series(500).scores)
    assert nab.score([high, low], [0.5, 0.05]) == pytest.approx(100)
    assert nab.score([high, low], 0.5) == pytest.approx(50)


def test_windows_are_found_by_the_first_row_of_their_times() -> None:
    t = np.array([10, 20, 20, 30, 40])
    assert nab.windows_as_rows(t, [(20, 30)]) == [(1, 3)]
    with pytest.raises(ValueError, match="no row has the time 25"):
        nab.windows_as_rows(t, [(20, 25)])

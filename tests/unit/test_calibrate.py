"""Calibration on scores whose law is known, and what it says of its own limits."""

from __future__ import annotations

import numpy as np
import pytest

from agent.decide.calibration import exceedances_per_hour
from agent.decide.peaks import cluster_maxima, extremal_index
from agent.decide.states import cluster
from agent.errors import ConfigError
from agent.window.contract import Contract, ContractChannel
from export import calibrate

HOUR_NS = 3_600_000_000_000


def contract(window: int = 1, hop: int = 1) -> Contract:
    return Contract(channels=[ContractChannel(name="x", unit="1")], rate_hz=1.0, window=window, hop=hop)


def run(scores: np.ndarray, hop_s: int = 1) -> tuple[np.ndarray, np.ndarray]:
    return scores.astype(np.float32), (np.arange(len(scores)) + 1) * hop_s * 1_000_000_000


@pytest.mark.parametrize("kind", ["exponential", "pareto", "uniform"])
def test_promised_rates_are_cautious_and_close(kind: str) -> None:
    rng = np.random.default_rng(3)
    draw = {
        "exponential": lambda n: rng.exponential(size=n),
        "pareto": lambda n: rng.pareto(4, size=n),
        "uniform": lambda n: rng.uniform(size=n),
    }[kind]
    fitted = calibrate.fit([run(draw(20_000))], contract()).calibration
    fresh = draw(2_000_000)
    for budget_per_hour in (60.0, 6.0):
        alarms = (exceedances_per_hour(fitted, fresh) <= budget_per_hour).sum()
        achieved = alarms / (len(fresh) * 1_000_000_000 / HOUR_NS)
        assert achieved < 1.3 * budget_per_hour
        if kind == "exponential":
            assert achieved > 0.3 * budget_per_hour


def test_the_tail_is_never_lighter_than_exponential_nor_heavier_than_one() -> None:
    rng = np.random.default_rng(4)
    light = calibrate.fit([run(rng.uniform(size=5_000))], contract()).calibration
    heavy = calibrate.fit([run(rng.pareto(0.7, size=5_000))], contract()).calibration
    assert (light.shape, heavy.shape) == (0.0, 1.0)


def test_rates_fall_as_scores_grow_without_a_step_at_the_threshold() -> None:
    fitted = calibrate.fit([run(np.random.default_rng(5).exponential(size=5_000))], contract()).calibration
    scores = np.linspace(0, 3 * fitted.threshold, 2_001)
    rates = exceedances_per_hour(fitted, scores)
    assert (np.diff(rates) <= 0).all()
    assert (np.abs(np.diff(np.log(rates[scores > fitted.body_scores[1]]))) < 0.2).all()
    assert fitted.body_rates[-1] == pytest.approx(fitted.rate_per_hour)


def test_one_long_excursion_counts_once() -> None:
    score = np.zeros(1_000)
    score[100:150] = 5 + np.arange(50) / 100
    maxima = cluster_maxima(*run(score), threshold=1.0, separation_ns=10_000_000_000)
    assert maxima.tolist() == [np.float32(5.49)]


def test_excursions_apart_by_a_window_are_two_and_nearer_ones_are_one() -> None:
    score = np.zeros(100)
    score[[10, 19, 29]] = 1, 3, 2
    maxima = cluster_maxima(*run(score), threshold=0.5, separation_ns=10_000_000_000)
    assert maxima.tolist() == [3, 2]


def test_excursions_of_two_runs_never_join() -> None:
    rng = np.random.default_rng(6)
    halves = [run(rng.exponential(size=500)), run(rng.exponential(size=500))]
    assert calibrate.fit(halves, contract()).calibration.hours == pytest.approx(1_000 / 3_600)


def test_overlapping_windows_give_fewer_excursions_than_exceedances() -> None:
    rng = np.random.default_rng(7)
    smooth = np.convolve(rng.exponential(size=5_000), np.ones(20) / 20, mode="valid")
    fitted = calibrate.fit([run(smooth)], contract(window=20)).calibration
    assert fitted.clusters < 0.5 * (smooth > fitted.threshold).sum()


def test_it_says_how_much_data_it_rests_on_and_how_much_more_a_budget_needs() -> None:
    rng = np.random.default_rng(8)
    many = calibrate.fit([run(rng.exponential(size=360_000))], contract(), "1 per week")
    few = calibrate.fit([run(rng.exponential(size=60))], contract())
    basis, reach = many.remarks
    assert basis == f"calibrated on 100 h of normal operation with {many.calibration.clusters} separate excursions"
    assert reach.startswith("100 h of normal operation support '1 per week'")
    assert "are too little for '1 per month'" in few.remarks[1]
    assert "h more would bring it to 3" in few.remarks[1]
    assert "too few to fit the shape of the tail" in few.remarks[2]
    assert few.calibration.shape == 0.0


def test_excursions_that_come_in_bouts_count_as_fewer_independent_ones() -> None:
    rng = np.random.default_rng(9)
    bout = np.repeat(rng.random(400) < 0.1, 100)
    bouts = calibrate.fit([run(rng.exponential(size=40_000) * np.where(bout, 1.0, 0.1))], contract()).calibration
    free = calibrate.fit([run(rng.exponential(size=40_000))], contract()).calibration
    assert bouts.independent < 0.3 * bouts.clusters
    assert free.independent > 0.8 * free.clusters


def test_the_extremal_index_is_one_over_the_size_of_a_cluster() -> None:
    rng = np.random.default_rng(10)
    apart = rng.geometric(0.001, size=2_000)
    gaps = np.column_stack([np.ones((2_000, 3), int), apart]).ravel()
    assert extremal_index(gaps) == pytest.approx(1 / 4, rel=0.1)
    assert extremal_index(apart) == pytest.approx(1, rel=0.1)
    assert extremal_index(np.empty(0, int)) == 1.0


@pytest.mark.parametrize("scores", [np.arange(19.0), np.ones(1_000), np.empty(0)])
def test_too_little_to_calibrate_on_is_refused(scores: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="cannot be calibrated on"):
        calibrate.fit([run(scores)], contract())


def test_operating_states_of_training_are_calibrated_each_and_told_apart_by_level() -> None:
    rng = np.random.default_rng(11)
    level = np.repeat(np.arange(400) % 2 * 20.0, 50)
    values = (level[:, None, None] + rng.normal(size=(20_000, 1, 8))).astype(np.float32)
    known = cluster(values.mean(axis=2, dtype=np.float64))
    scores = rng.exponential(size=20_000) * np.where(level > 0, 10.0, 1.0)
    fitted = calibrate.fit_by_state([run(scores)], [values], known, contract())
    assert set(fitted.states.calibrations) == {"state-1", "state-2"}
    assert "2 operating states were found in training, 2 have a calibration of their own" in fitted.remarks
    rates = [exceedances_per_hour(each, [12.0])[0] for each in fitted.states.calibrations.values()]
    assert rates[0] < 1 < 100 < rates[1]
    assert calibrate.states_of(values[:100], known).tolist() == ["state-1"] * 50 + ["state-2"] * 50

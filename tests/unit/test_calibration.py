"""Scores to rates: the fitted tail, the body below it, and what never comes out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decide.calibration import Calibration, exceedances_per_hour


def calibration(shape: float = 0.2, **changes: object) -> Calibration:
    settings = {
        "threshold": 2.0,
        "rate_per_hour": 0.5,
        "shape": shape,
        "scale": 0.4,
        "body_scores": [0.0, 1.0, 2.0],
        "body_rates": [800.0, 20.0, 0.5],
        "hours": 100.0,
        "clusters": 50,
        **changes,
    }
    return Calibration(**settings)  # type: ignore[arg-type]


CALIBRATIONS = st.builds(
    calibration,
    shape=st.floats(-1.0, 1.0) | st.sampled_from([0.0, 1e-12, -1e-12]),
    scale=st.floats(1e-3, 1e3),
    rate_per_hour=st.floats(1e-3, 5.0),
)


@pytest.mark.parametrize(
    ("shape", "score", "rate"),
    [
        (0.2, 3.0, 0.5 * (1 + 0.2 * 1.0 / 0.4) ** (-1 / 0.2)),
        (0.0, 3.0, 0.5 * math.exp(-1.0 / 0.4)),
        (-0.2, 3.0, 0.5 * (1 - 0.2 * 1.0 / 0.4) ** (1 / 0.2)),
        (-0.5, 2.9, 0.0),
        (0.2, 2.0, 0.5),
        (0.2, 1.0, 20.0),
        (0.2, 0.5, math.sqrt(800 * 20)),
        (0.2, -9.0, 800.0),
    ],
)
def test_a_rate_is_the_one_that_the_formula_gives(shape: float, score: float, rate: float) -> None:
    assert exceedances_per_hour(calibration(shape), [score])[0] == pytest.approx(rate, rel=1e-12)


def test_nan_stays_nan_and_spoils_no_neighbour() -> None:
    rates = exceedances_per_hour(calibration(), np.array([np.nan, 2.0], np.float32))
    assert np.isnan(rates[0])
    assert rates[1] == 0.5


def test_without_a_body_the_rate_below_the_threshold_is_the_rate_at_it() -> None:
    assert exceedances_per_hour(calibration(body_scores=[], body_rates=[]), [-5.0])[0] == 0.5


def test_a_body_that_ends_below_the_tail_is_lifted_to_it() -> None:
    rates = exceedances_per_hour(calibration(body_rates=[800.0, 20.0, 0.1]), [1.99, 2.01])
    assert rates[0] == 0.5 > rates[1]


@given(CALIBRATIONS, st.lists(st.floats(-1e6, 1e6) | st.sampled_from([math.inf, -math.inf]), min_size=2, max_size=40))
def test_a_higher_score_never_has_a_higher_rate(given_calibration: Calibration, scores: list[float]) -> None:
    rates = exceedances_per_hour(given_calibration, sorted(scores))
    assert (rates[1:] <= rates[:-1] * (1 + 1e-12)).all()


@given(CALIBRATIONS.filter(lambda fitted: fitted.shape >= 0), st.floats(0, 1e300) | st.just(math.inf))
def test_an_unbounded_tail_never_says_never(given_calibration: Calibration, score: float) -> None:
    assert exceedances_per_hour(given_calibration, [score])[0] > 0

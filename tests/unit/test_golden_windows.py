"""Golden windows near the threshold: on both sides, no nearer than a factor of two in the rate, and none where there is no threshold between."""

from __future__ import annotations

import numpy as np
import pytest

from agent.decide.calibration import exceedances_per_hour
from agent.infer.agreement import Judge, flagged
from agent.types import Float32Array
from export.golden_windows import near_thresholds
from tests.harness.bundles import manifest

CALIBRATION = manifest().calibration
JUDGE = Judge(CALIBRATION)
BUDGETS = [1 / 24, 1 / 730]


def energy(windows: Float32Array) -> Float32Array:
    found: Float32Array = np.square(windows).mean(axis=(1, 2))
    return found


def samples(*levels: float) -> Float32Array:
    return np.array([np.full((3, 8), level) for level in levels], np.float32)


def test_each_budget_has_a_window_on_either_side() -> None:
    near = near_thresholds(energy, JUDGE, samples(0.5, 9.0), BUDGETS)
    assert near.dtype == np.float32
    rates = exceedances_per_hour(CALIBRATION, energy(near))
    np.testing.assert_allclose(rates, [2 / 24, 0.5 / 24, 2 / 730, 0.5 / 730], rtol=1e-3)
    assert flagged(JUDGE, near, energy(near), BUDGETS).tolist() == [
        [False, True, True, True],
        [False, False, False, True],
    ]


@pytest.mark.parametrize("levels", [(0.5, 0.6), (9.0, 10.0)])
def test_samples_that_are_all_on_one_side_give_none(levels: tuple[float, float]) -> None:
    near = near_thresholds(energy, JUDGE, samples(*levels), BUDGETS)
    assert near.shape == (0, 3, 8)

"""Our fit of the generalised Pareto distribution beside scipy's, over shapes and sizes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from agent.decide import gpd

SHAPES = (-0.3, -0.1, 0.0, 0.1, 0.25, 0.5, 0.9)


def excesses(shape: float, n: int, scale: float = 3.0) -> np.ndarray:
    return stats.genpareto.rvs(shape, scale=scale, size=n, random_state=np.random.default_rng(n))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [30, 200, 2_000])
def test_the_likeliest_shape_and_scale_are_scipys(shape: float, n: int) -> None:
    x = excesses(shape, n)
    free, _, scale = stats.genpareto.fit(x, floc=0)
    found = gpd.fit(x)
    if free > -0.5:
        assert found == pytest.approx((free, scale), rel=2e-3, abs=2e-3)
    else:
        assert found[0] == pytest.approx(-0.5, abs=0.05)


@pytest.mark.parametrize("shape", [0.0, 0.05, 0.5, 1.0])
def test_the_likeliest_scale_for_a_known_shape_is_scipys(shape: float) -> None:
    x = excesses(0.2, 500)
    assert gpd.scale_given(shape, x) == pytest.approx(stats.genpareto.fit(x, f0=shape, floc=0)[2], rel=1e-3)


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_the_unit_of_the_excesses_does_not_matter(unit: float) -> None:
    x = excesses(0.2, 300)
    shape, scale = gpd.fit(x)
    assert gpd.fit(x * unit) == pytest.approx((shape, scale * unit), rel=1e-6)


def test_a_law_that_ends_is_found_no_lighter_than_the_likelihood_can_tell() -> None:
    assert gpd.fit(np.random.default_rng(1).uniform(size=500))[0] == pytest.approx(-0.5, abs=0.05)


@pytest.mark.parametrize("shape", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("excess", [1e-9, 2.0, 1e9])
def test_excesses_that_are_all_alike_are_their_own_scale(shape: float, excess: float) -> None:
    assert gpd.scale_given(shape, np.full(5, excess)) == pytest.approx(excess, rel=1e-9)

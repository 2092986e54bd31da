"""The sketch keeps its stated accuracy and merges exactly; moments equal numpy's."""

from __future__ import annotations

import zlib

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.decide.sketch import Sketch
from agent.decide.tally import Tally

FRACTIONS = [0.0, 0.05, 0.5, 0.95, 1.0]
FLOATS = st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, -0.0, 1e-30, 3.0e38, -3.0e38, 230.0, 230.5])
COLUMNS = st.lists(FLOATS, min_size=1, max_size=200).map(lambda column: np.array(column, np.float32)[:, None])


def sketch_of(values: np.ndarray, centre: float = 0.0) -> Sketch:
    sketch = Sketch(np.full(values.shape[1], centre, np.float32))
    sketch.add(values)
    return sketch


@settings(deadline=None)
@given(COLUMNS, st.sampled_from([0.0, 230.0]))
def test_a_quantile_is_as_near_as_stated(values: np.ndarray, centre: float) -> None:
    found = sketch_of(values, centre).quantiles(FRACTIONS)[0]
    deviations = np.sort(values[:, 0]).astype(np.float64) - centre
    rank = np.array(FRACTIONS) * (len(values) - 1)
    lower, upper = deviations[np.floor(rank).astype(int)], deviations[np.ceil(rank).astype(int)]
    # float32 rounds the deviation from the centre once more, by 2**-23 of the value at most
    coarse = np.abs(deviations).max() * 2.0**-22 + float(np.finfo(np.float32).tiny)
    assert (found - centre >= lower - np.abs(lower) / 64 - coarse).all()
    assert (found - centre <= upper + np.abs(upper) / 64 + coarse).all()


@settings(deadline=None)
@given(st.lists(COLUMNS, min_size=2, max_size=4))
def test_parts_merge_into_the_sketch_of_the_whole(parts: list[np.ndarray]) -> None:
    merged = sketch_of(parts[0])
    for part in parts[1:]:
        merged.merge(sketch_of(part))
    whole = sketch_of(np.concatenate(parts))
    np.testing.assert_array_equal(merged.quantiles(FRACTIONS), whole.quantiles(FRACTIONS))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_larger_value_moves_no_smaller_one_out_of_its_bucket(sign: float) -> None:
    values = sign * np.array([[1.0], [2.0], [3.0], [4.0], [1e6]], np.float32)
    one_by_one = Sketch(np.zeros(1, np.float32))
    for value in values:
        one_by_one.add(value[None])
    np.testing.assert_array_equal(one_by_one.quantiles(FRACTIONS), sketch_of(values).quantiles(FRACTIONS))
    np.testing.assert_allclose(one_by_one.quantiles([0.5]), [[3.0 * sign]], rtol=1 / 64)


def test_what_is_too_small_beside_the_largest_gathers_at_the_centre() -> None:
    values = np.array([[1e-9], [-1e-9], [1e6]], np.float32)
    assert np.abs(sketch_of(values).quantiles([0.0, 0.5])).max() <= 1e6 * 2.0**-23


@settings(deadline=None)
@given(st.lists(st.tuples(COLUMNS, st.sampled_from([0.0, 1.0, 230.0])), min_size=1, max_size=5))
def test_sketches_about_different_centres_merge_within_one_more_bucket_however_many(parts: list) -> None:
    merged = sketch_of(*parts[0])
    for values, centre in parts[1:]:
        merged.merge(sketch_of(values, centre))
    values = np.sort(np.concatenate([each[:, 0] for each, _ in parts])).astype(np.float64)
    farthest = np.max([np.abs(values - centre) for _, centre in parts], axis=0)
    slack = farthest / 32 + farthest.max() * 2.0**-20 + float(np.finfo(np.float32).tiny)
    rank = np.array(FRACTIONS) * (len(values) - 1)
    found = merged.quantiles(FRACTIONS)[0]
    assert (found >= np.sort(values - slack)[np.floor(rank).astype(int)]).all()
    assert (found <= np.sort(values + slack)[np.ceil(rank).astype(int)]).all()


def test_an_empty_sketch_takes_over_the_centre_of_what_it_is_merged_with() -> None:
    values = (230 + np.linspace(-0.5, 0.5, 1_001)).astype(np.float32)[:, None]
    empty = Sketch(np.zeros(1, np.float32))
    empty.merge(sketch_of(values, 230.0))
    np.testing.assert_array_equal(empty.quantiles(FRACTIONS), sketch_of(values, 230.0).quantiles(FRACTIONS))


def test_channels_of_several_sketches_are_joined_in_the_order_asked_for() -> None:
    one, two = sketch_of(np.array([[1.0, 2.0]], np.float32)), sketch_of(np.array([[3.0]], np.float32))
    joined = Sketch.joined([one, two], np.array([2, 0, 1]))
    np.testing.assert_allclose(joined.quantiles([0.5])[:, 0], [3.0, 1.0, 2.0], rtol=1 / 64)
    joined.add(np.full((10, 3), 50.0, np.float32))
    np.testing.assert_allclose(one.quantiles([1.0])[:, 0], [1.0, 2.0], rtol=1 / 64)


def test_a_sketch_that_was_kept_goes_on_and_a_damaged_one_is_refused() -> None:
    sketch = sketch_of(np.array([[1.0, -2e6]], np.float32))
    memory = sketch.memory
    again = Sketch.remembered(memory)
    for each in (sketch, again):
        each.add(np.array([[7.0, 8.0]], np.float32))
    np.testing.assert_array_equal(again.quantiles(FRACTIONS), sketch.quantiles(FRACTIONS))
    for counts in (b"rubbish", zlib.compress(b"\x00" * 8), zlib.compress(b"\x00" * 7)):
        with pytest.raises(ValueError, match="counts"):
            Sketch.remembered(msgspec.structs.replace(memory, counts=counts))


def test_values_that_are_not_good_are_not_counted() -> None:
    values = np.array([[1.0, np.nan], [np.inf, 2.0], [3.0, 4.0]], np.float32)
    sketch = Sketch(np.zeros(2, np.float32))
    sketch.add(values, np.isfinite(values))
    np.testing.assert_allclose(sketch.quantiles([0.0, 1.0]), [[1.0, 3.0], [2.0, 4.0]], rtol=1 / 64)


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.sampled_from([0.0, 1e6]), st.integers(0, 2**32 - 1))
def test_moments_equal_those_of_all_values_at_once(sizes: list[int], offset: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = (generator.normal(size=(sum(sizes), 3)) + offset).astype(np.float32)
    good = generator.random(values.shape) > 0.3
    tally = Tally(np.zeros(3, np.float32))
    for block, mask in zip(np.split(values, np.cumsum(sizes)[:-1]), np.split(good, np.cumsum(sizes)[:-1]), strict=True):
        tally.add(block, None if mask.all() else mask)
    for channel, found in enumerate(tally.statistics()):
        chosen = values[good[:, channel], channel].astype(np.float64)
        assert found.n == len(chosen)
        if not len(chosen):
            assert found.mean is None
            continue
        assert (found.min, found.max) == (chosen.min(), chosen.max())
        assert found.mean == pytest.approx(chosen.mean(), rel=1e-12)
        assert found.std == pytest.approx(chosen.std(), rel=1e-6, abs=1e-9)
        assert found.min <= found.p05 <= found.p25 <= found.p50 <= found.p75 <= found.p95 <= found.p99 <= found.max

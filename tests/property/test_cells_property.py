"""What summaries say of quantiles, merged by the example consumer, is as near to those of all values as docs/consumers.md promises."""

from __future__ import annotations

import base64
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.decide.cells import MOST_CELLS
from agent.decide.tally import Tally
from tests.harness.examples import example

MERGE = example("merge_summaries")
FRACTIONS = [0.0, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1.0]
ANGLE = 1 / 32
LAWS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "normal far from zero": lambda rng, n: 230 + 0.5 * rng.normal(size=n),
    "heavy tails": lambda rng, n: rng.standard_t(2, size=n),
    "skewed": lambda rng, n: rng.lognormal(0, 2, size=n),
    "one value": lambda _, n: np.full(n, 21.5),
    "few values": lambda rng, n: rng.integers(0, 4, size=n) * 10.0,
    "on and off": lambda rng, n: np.where(rng.random(n) < 0.3, 0.0, 40 + rng.normal(size=n)),
    "an outlier": lambda rng, n: np.append(rng.normal(size=n - 1), 1e6),
}
PARTS = st.lists(
    st.tuples(st.sampled_from(sorted(LAWS)), st.integers(1, 3_000), st.sampled_from([0.0, 1.0, 40.0, 230.0])),
    min_size=1,
    max_size=5,
)


def tally_of(values: np.ndarray, centre: float) -> Tally:
    tally = Tally(np.array([centre], np.float32))
    tally.add(values[:, None])
    return tally


def told(tally: Tally) -> dict:
    return msgspec.to_builtins(tally.statistics()[0])


def is_promised(found: float, fraction: float, values: np.ndarray, distance: np.ndarray, part: float) -> bool:
    """Whether `found` is the quantile of a fraction near enough, for values that may each be off by `part` of their distance."""
    slack = part * distance + 2.0**-21 * (np.abs(values).max() + distance.max())
    rank = fraction * (len(values) - 1) + 0.5
    angle = math.asin(math.sqrt(rank / len(values)))
    least = math.sin(max(0.0, angle - ANGLE)) ** 2 * len(values)
    most = math.sin(min(math.pi / 2, angle + ANGLE)) ** 2 * len(values)
    # one value to either side: what lies between two values is nobody's
    return (
        np.count_nonzero(values - slack <= found) >= least - 1 and np.count_nonzero(values + slack < found) <= most + 1
    )


@settings(deadline=None, max_examples=60)
@given(PARTS, st.integers(0, 2**32 - 1))
def test_a_quantile_of_merged_summaries_is_as_near_as_promised(parts: list, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = [LAWS[law](rng, n).astype(np.float32) for law, n, _ in parts]
    summaries = [told(tally_of(each, centre)) for each, (_, _, centre) in zip(values, parts, strict=True)]
    every = np.concatenate(values).astype(np.float64)
    distance = np.max([np.abs(every - centre) for _, _, centre in parts], axis=0)
    cells = [cell for each in summaries for cell in MERGE.cells_of(each)]
    for fraction in FRACTIONS:
        assert is_promised(MERGE.quantile(cells, fraction), fraction, every, distance, 1 / 64), fraction
    whole = MERGE.merge(summaries)
    assert (whole["n"], whole["min"], whole["max"]) == (len(every), every.min(), every.max())
    assert whole["mean"] == pytest.approx(every.mean(), rel=1e-9, abs=1e-9)
    assert whole["std"] == pytest.approx(every.std(), rel=1e-6, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(PARTS, st.integers(0, 2**32 - 1))
def test_a_tally_merged_from_others_is_as_near_as_promised_of_a_day(parts: list, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = [LAWS[law](rng, n).astype(np.float32) for law, n, _ in parts]
    day, *others = [tally_of(each, centre) for each, (_, _, centre) in zip(values, parts, strict=True)]
    for other in others:
        day.merge(other)
    every = np.concatenate(values).astype(np.float64)
    distance = np.max([np.abs(every - centre) for _, _, centre in parts], axis=0)
    whole = told(Tally.remembered(msgspec.msgpack.decode(msgspec.msgpack.encode(day.memory), type=type(day.memory))))
    assert whole == told(day)
    assert (whole["n"], whole["min"], whole["max"]) == (len(every), every.min(), every.max())
    assert whole["mean"] == pytest.approx(every.mean(), rel=1e-9, abs=1e-9)
    assert whole["std"] == pytest.approx(every.std(), rel=1e-5, abs=1e-9)
    cells = MERGE.cells_of(whole)
    for fraction in FRACTIONS:
        assert is_promised(MERGE.quantile(cells, fraction), fraction, every, distance, 1 / 32), fraction


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.floats(-(2.0**99), 2.0**99, width=32), st.integers(1, 500)), min_size=1, max_size=300))
def test_there_are_never_more_cells_than_stated_and_they_hold_every_value(groups: list) -> None:
    values = np.repeat(np.array([value for value, _ in groups], np.float32), [count for _, count in groups])
    summary = told(tally_of(values, 0.0))
    cells = MERGE.cells_of(summary)
    assert len(cells) <= MOST_CELLS
    assert len(summary["cells"]["data"]) <= 1_116 == len(base64.b64encode(bytes(8 * MOST_CELLS + 4)))
    assert sum(count for _, _, count in cells) == len(values)
    assert (cells[0][0], cells[-1][1]) == (values.min(), values.max())
    assert all(lower <= upper for lower, upper, _ in cells)


def test_a_gap_between_values_stays_empty() -> None:
    cells = MERGE.cells_of(told(tally_of(np.repeat([0.0, 40.0], 500).astype(np.float32), 0.0)))
    assert [count for _, _, count in cells] == [500, 0, 500]
    assert [MERGE.quantile(cells, each) for each in (0.1, 0.4)] == pytest.approx([0.0, 0.0], abs=1e-5)
    assert MERGE.quantile(cells, 0.6) == pytest.approx(40, rel=1 / 64)


def test_without_values_there_are_no_cells() -> None:
    nothing = told(Tally(np.zeros(1, np.float32)))
    assert nothing["cells"] is None
    assert MERGE.merge([nothing, nothing]) == {"n": 0}

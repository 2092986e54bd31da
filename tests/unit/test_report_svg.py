"""The drawing functions: round ticks, peaks that survive thinning, and text that cannot become markup."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.report.svg import Axis, Frame, bounds, chart, dots, line, region, thinned


def frame(**axis: object) -> Frame:
    return Frame(Axis("x", 0, 10), Axis("y", **{"low": 0.0, "high": 1.0} | axis))


@given(low=st.floats(-1e9, 1e9), span=st.floats(1e-6, 1e9))
def test_ticks_are_few_round_and_between_the_ends(low: float, span: float) -> None:
    axis = Axis("x", low, low + span)
    if axis.high - axis.low < 1e-9 * abs(low):  # no float lies on a round number there
        return
    ticks = axis.ticks()
    assert len(ticks) <= 7
    assert all(axis.low - 0.01 * span <= tick <= axis.high + 0.01 * span for tick in ticks)


def test_decades_are_ticked_by_powers_of_ten() -> None:
    assert Axis("x", 0.5, 2_000, log=True).ticks() == [1, 10, 100, 1_000]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=3_000), st.integers(4, 100))
def test_thinning_keeps_every_extreme_and_the_order(values: list[float], most: int) -> None:
    y = np.array(values)
    x = np.arange(len(y), dtype=float)
    few_x, few_y = thinned(x, y, most)
    assert len(few_x) <= max(most + 4, len(y) if len(y) <= most else 0)
    assert (np.diff(few_x) > 0).all()
    assert (few_y.min(), few_y.max()) == (y.min(), y.max())
    assert (few_x[0], few_x[-1]) == (x[0], x[-1])


def test_what_is_beyond_an_axis_is_drawn_at_its_end() -> None:
    drawn = line(frame(), [0, 20], [-5, 5], "line")
    numbers = [float(number) for number in re.findall(r"-?\d+\.\d", drawn)]
    assert max(numbers) <= 420
    assert min(numbers) >= 0


def test_titles_and_labels_are_escaped() -> None:
    hostile = '"><script>alert(1)</script>'
    drawn = chart(Frame(Axis(hostile, 0, 1), Axis(hostile, 0, 1)), hostile, [])
    assert "<script>" not in drawn
    assert drawn.count("&lt;script&gt;") == 3


def test_nothing_to_draw_draws_nothing() -> None:
    assert line(frame(), [], [], "line") == ""
    assert dots(frame(), [], [], "dot") == ""
    assert region(frame(), [], [], [], "usual") == ""


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], (0, 1)), ([2.0, 2.0], (1.5, 2.5)), ([1.0, np.nan, np.inf, 4.0], (1, 4))],
)
def test_bounds_are_of_finite_values_and_never_meet(values: list[float], expected: tuple[float, float]) -> None:
    assert bounds(np.array(values)) == expected

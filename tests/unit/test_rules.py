"""Expressions over channels and limits on them: what they come to, what they refuse, what they do not know."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decide.expression import Cells, Expression
from agent.decide.rules import Limit, Rule, holds
from agent.types import TimeQuality, Window

CHANNELS = ["pump.flow", "pump.pressure", "accel-7.x"]
RATE_HZ = 100.0


def window(values: np.ndarray) -> Window:
    return Window("m", 0, 10**9, values.astype(np.float32), None, TimeQuality.DEVICE)


def value(text: str, values: np.ndarray) -> float:
    return Expression(text, CHANNELS)(Cells(np.asarray(values, np.float64), RATE_HZ))


VALUES = np.array([[1.0, 2.0, 3.0, 4.0], [10.0, 10.0, 10.0, 30.0], [-1.0, 1.0, -1.0, 1.0]])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mean([pump.flow])", 2.5),
        ("min([pump.flow]) + max([pump.flow])", 5.0),
        ("span([pump.pressure])", 20.0),
        ("std([pump.flow])", math.sqrt(1.25)),
        ("rms([accel-7.x])", 1.0),
        ("mean(abs([accel-7.x]))", 1.0),
        ("rate([pump.flow])", 100.0),
        ("mean([pump.pressure] / [pump.flow])", (10 + 5 + 10 / 3 + 7.5) / 4),
        ("-mean([pump.flow]) * (2 - 3)", 2.5),
        ("missing([pump.flow])", 0.0),
        ("mean([pump.flow]) > 2 and not mean([pump.pressure]) < 15", 1.0),
        ("mean([pump.flow]) > 3 or mean([pump.flow]) <= 1", 0.0),
    ],
)
def test_a_number_comes_out(text: str, expected: float) -> None:
    assert value(text, VALUES) == pytest.approx(expected)


def test_a_channel_alone_needs_no_brackets_and_gives_its_cells() -> None:
    np.testing.assert_array_equal(value("pump.flow", VALUES), VALUES[0])


@pytest.mark.parametrize(("amplitude", "hz"), [(2.0, 12.5), (0.1, 25.0), (5.0, 43.75)])
def test_a_band_holds_the_root_mean_square_of_the_tone_in_it(amplitude: float, hz: float) -> None:
    t = np.arange(256) / RATE_HZ
    values = np.vstack([7.0 + amplitude * np.sin(2 * np.pi * hz * t)] * 3)
    assert value(f"band([accel-7.x], {hz - 2}, {hz + 2})", values) == pytest.approx(amplitude / math.sqrt(2), rel=1e-3)
    assert value(f"band([accel-7.x], {hz - 10}, {hz - 5})", values) < amplitude / 1_000


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is no expression"),
        ("2 + 2", "names no channel"),
        ("[pump.flwo]", "there is no channel 'pump.flwo'"),
        ("[pump.flow] +", "is no expression"),
        ("mean([pump.flow], 2)", "takes 1 arguments, not 2"),
        ("median([pump.flow])", "there is no function 'median'"),
        ("[pump.flow].__class__", "not understood"),
        ("[pump.flow] ** 9 ** 9", "not understood"),
        ("__import__('os').system([pump.flow])", "not understood"),
        ("(lambda: [pump.flow])()", "not understood"),
        ("[pump.flow] < 1 < 2", "not understood"),
        ("'a' * [pump.flow]", "not understood"),
        ("c7 + [pump.flow]", "not understood"),
        ("(" * 480 + "[pump.flow]", "is no expression"),
        ("-" * 480 + "[pump.flow]" + " " * 10, "too long"),
    ],
)
def test_what_is_not_arithmetic_is_refused_in_words(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Expression(text, CHANNELS)


@given(st.text(alphabet="[]pumpflow.()+-*/<>=, 0123456789andornot\n'\"_\\{}:;@", max_size=80))
def test_any_text_is_an_expression_or_a_value_error(text: str) -> None:
    try:
        expression = Expression(text, CHANNELS)
    except ValueError:
        return
    expression(Cells(VALUES, RATE_HZ))


def test_what_reads_a_missing_cell_is_not_known_and_what_does_not_is() -> None:
    values = VALUES.copy()
    values[0, 1] = np.nan
    assert math.isnan(value("mean([pump.flow])", values))
    assert math.isnan(value("mean([pump.flow]) > 0 or mean([pump.pressure]) > 0", values))
    assert value("mean([pump.pressure])", values) == 15.0
    assert value("missing([pump.flow])", values) == 0.25


def rule(side: str, level: float, text: str = "pump.flow", hop: int = 2, deadband: float = 0.0) -> Rule:
    return Rule(Expression(text, CHANNELS), Limit(side, level, deadband), "l/s", RATE_HZ, hop)


@pytest.mark.parametrize(
    ("side", "level", "deadband", "finding"),
    [
        ("high", 3.5, 0.0, "deviating"),
        ("high", 4.0, 0.0, "normal"),
        ("high", 4.5, 1.0, "between"),
        ("high_high", 6.0, 1.0, "normal"),
        ("low", 3.5, 0.0, "deviating"),
        ("low", 3.0, 0.0, "normal"),
        ("low_low", 2.5, 1.0, "between"),
    ],
)
def test_a_limit_looks_at_the_newest_cells_on_its_own_side(
    side: str, level: float, deadband: float, finding: str
) -> None:
    sight = rule(side, level, deadband=deadband).look(window(VALUES))
    assert sight.finding == finding
    assert (sight.reading.limit, sight.reading.unit) == (level, "l/s")
    assert sight.reading.value == (4.0 if side.startswith("high") else 3.0)


def test_strangeness_grows_by_one_for_each_tenth_of_the_limit() -> None:
    assert rule("high", 2.0).look(window(VALUES)).reading.strangeness == pytest.approx(10.0)
    assert rule("high", 3.0, deadband=0.5).look(window(VALUES)).reading.strangeness == pytest.approx(2.0)


def test_a_rule_knows_nothing_where_its_own_cells_are_missing_only() -> None:
    values = VALUES.copy()
    values[1, 3] = np.nan
    assert rule("high", 3.0).look(window(values)).finding == "deviating"
    assert rule("high", 3.0, "pump.pressure").look(window(values)).finding is None
    assert rule("high", 0.2, "missing([pump.pressure])").look(window(values)).finding == "deviating"


def test_a_design_condition_is_read_at_the_windows_end() -> None:
    off = Expression("[pump.flow] > 3.5", CHANNELS)
    assert holds(off, window(VALUES), RATE_HZ) is True
    assert holds(off, window(-VALUES), RATE_HZ) is False
    values = VALUES.copy()
    values[0, 3] = np.nan
    assert holds(off, window(values), RATE_HZ) is None

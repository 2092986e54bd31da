"""Durations and rates are read as operators write them, and anything else is refused with an example."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.quantities import parse_duration_ns, parse_rate_per_hour

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("0s", 0),
        ("500ms", SECOND // 2),
        ("1.5s", 3 * SECOND // 2),
        ("30 s", 30 * SECOND),
        ("10m", 600 * SECOND),
        ("10min", 600 * SECOND),
        ("1h 30m", 5_400 * SECOND),
        ("1h30m", 5_400 * SECOND),
        ("7d", 7 * 86_400 * SECOND),
    ],
)
def test_durations(text: str, expected_ns: int) -> None:
    assert parse_duration_ns(text) == expected_ns


@pytest.mark.parametrize(
    "text", ["", "10", "s", "-1s", "1 s 5", "5mi", "1e3s", "1w", "٣s", "9" * 12 + "d", "9" * 400 + "s"]
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write one like"):
        parse_duration_ns(text)


@pytest.mark.parametrize(
    ("text", "expected_per_hour"),
    [
        ("1 per hour", 1.0),
        ("2 per day", 2 / 24),
        ("1 a week", 1 / 168),
        ("3 an hour", 3.0),
        ("0.5/year", 0.5 / 8_765.82),
        (" 12 per year ", 12 / 8_765.82),
    ],
)
def test_rates(text: str, expected_per_hour: float) -> None:
    assert parse_rate_per_hour(text) == pytest.approx(expected_per_hour)


def test_one_a_month_and_twelve_a_year_are_one_budget() -> None:
    assert parse_rate_per_hour("1 per month") == pytest.approx(parse_rate_per_hour("12 per year"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0 per day",
        "0.0 per month",
        "1",
        "per day",
        "-1 per day",
        "1 per fortnight",
        "nan per day",
        "9" * 400 + " per day",
    ],
)
def test_what_is_no_rate_above_zero_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write one like"):
        parse_rate_per_hour(text)


@given(st.text(max_size=30))
def test_any_text_is_a_quantity_or_a_value_error(text: str) -> None:
    for parser in (parse_duration_ns, parse_rate_per_hour):
        try:
            assert 0 <= parser(text) < 2**63
        except ValueError:
            continue

"""Durations and rates as operators write them: "30s", "1h 30m", "1 per month"."""

from __future__ import annotations

import re

from agent.types import NANOSECONDS

_UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
_NUMBER = r"([0-9]{1,12}(?:\.[0-9]{1,12})?)"
_DURATION = re.compile(rf"\s*{_NUMBER}\s*(ms|s|min|m|h|d)\s*")
# Time in nanoseconds is an int64; half its range leaves room to add a duration to a date.
_LONGEST_NS = 2**62
# A month is a twelfth of the mean Gregorian year, so that "1 per month" and "12 per year" are one budget.
_PERIOD_H = {"hour": 1.0, "day": 24.0, "week": 168.0, "month": 730.485, "year": 8_765.82}
_RATE = re.compile(rf"\s*{_NUMBER}\s*(?:per|/|an?)\s*(hour|day|week|month|year)\s*")


def parse_duration_ns(text: str) -> int:
    """`"1h 30m"` as nanoseconds; raises ValueError for anything else."""
    total_s, position = 0.0, 0
    while match := _DURATION.match(text, position):
        total_s += float(match[1]) * _UNIT_S[match[2]]
        position = match.end()
    total_ns = round(total_s * NANOSECONDS)
    if position == 0 or position != len(text) or total_ns > _LONGEST_NS:
        raise ValueError(f"'{text}' is no duration; write one like '500ms', '30s', '10m', '1h' or '7d'")
    return total_ns


def parse_rate_per_hour(text: str) -> float:
    """`"1 per month"` as events an hour; raises ValueError for anything else, and for zero, which no data can promise."""
    match = _RATE.fullmatch(text)
    if not match or float(match[1]) == 0:
        raise ValueError(f"'{text}' is no rate above zero; write one like '1 per month' or '2 per week'")
    return float(match[1]) / _PERIOD_H[match[2]]

"""When a machine counts as deviating: delays, hysteresis and gaps, in seconds."""

from __future__ import annotations

import pytest

from agent.decide.condition import Condition, Delays

HOP = 10


@pytest.mark.parametrize(
    ("story", "on", "off", "windows", "changes"),
    [
        ("no delay: the first window", 0, 0, [(10, "deviating"), (20, "normal")], [10, 20]),
        ("on-delay met", 20, 0, [(10, "deviating"), (20, "deviating"), (30, "deviating")], [30]),
        ("interrupted by normal", 20, 0, [(10, "deviating"), (20, "normal"), (30, "deviating"), (40, "deviating")], []),
        (
            "interrupted by between",
            20,
            0,
            [(10, "deviating"), (20, "between"), (30, "deviating"), (40, "deviating")],
            [],
        ),
        ("a gap as long as the delay is bridged", 20, 0, [(10, "deviating"), (40, "deviating")], [40]),
        ("a longer gap is not", 20, 0, [(10, "deviating"), (41, "deviating"), (51, "deviating")], []),
        ("windows rarer than the delay", 5, 0, [(10, "deviating"), (20, "deviating")], [20]),
        (
            "time runs backwards",
            20,
            0,
            [(100, "deviating"), (10, "deviating"), (20, "deviating"), (30, "deviating")],
            [30],
        ),
        ("between neither raises nor clears", 0, 0, [(10, "between"), (20, "deviating"), (30, "between")], [20]),
        ("off-delay met", 0, 20, [(10, "deviating"), (20, "normal"), (30, "normal"), (40, "normal")], [10, 40]),
        ("off-delay interrupted", 0, 20, [(10, "deviating"), (20, "normal"), (30, "between"), (40, "normal")], [10]),
    ],
)
def test_condition(story: str, on: int, off: int, windows: list, changes: list[int]) -> None:
    condition, delays = Condition(), Delays(on_ns=on, off_ns=off, hop_ns=HOP)
    assert [end for end, finding in windows if condition.step(finding, end, delays)] == changes, story

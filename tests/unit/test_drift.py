"""The drift monitor: what moves is told after a day, what does not never is, and nothing of it is an alarm."""

from __future__ import annotations

import numpy as np
import pytest

from agent.decide import peaks
from agent.decide.baseline import Baseline, ChannelBaseline
from agent.decide.calibration import Calibration
from agent.decide.drift import SCORE, DriftMonitor, stability_index

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
DAY_MINUTES = 1_440
START = 20_000 * 86_400 * SECOND
NAMES = ["pump.x", "pump.y"]
WINDOW = 32


def scores(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.exponential(size=n).astype(np.float32)


def calibration() -> Calibration:
    drawn = scores(np.random.default_rng(0), 20_000)
    return peaks.fit([(drawn, (np.arange(20_000) + 1) * SECOND)], SECOND, SECOND)


def known() -> Baseline:
    """Of window means that are standard normal in both channels."""
    channel = ChannelBaseline(low=-2.326, middle=0.0, high=2.326, spread=1.0, bands=[])
    return Baseline(band_edges_hz=[], channels=[channel, channel])


class Week:
    """Days of windows, one a minute."""

    def __init__(self, judged_by: str = "bundle", with_baseline: bool = True) -> None:
        self.monitor = DriftMonitor(NAMES, known() if with_baseline else None, calibration(), 32 * SECOND, judged_by)
        self.rng = np.random.default_rng(1)
        self.minutes = 0

    def days(self, days: float, shift: tuple[float, float] = (0, 0), times: float = 1.0) -> Week:
        drawn = scores(self.rng, round(days * DAY_MINUTES)) * times
        for score in drawn.tolist():
            self.minutes += 1
            means = self.rng.standard_normal(2) + shift
            self.monitor.look(
                np.repeat(means[:, None], WINDOW, axis=1).astype(np.float32), score, START + self.minutes * MINUTE
            )
        return self


def test_normal_operation_never_moves() -> None:
    week = Week()
    for _ in range(10):
        report = week.days(1).monitor.report
        assert report.shifted == []
    assert report.largest < 0.1


def test_nothing_is_said_before_a_day_is_over() -> None:
    report = Week().days(0.9, (9, 9), 9).monitor.report
    assert (report.largest, report.shifted) == (None, [])


def test_a_channel_that_has_moved_is_named_and_comes_back_when_it_has_come_back() -> None:
    week = Week().days(3).days(4, shift=(0, 2))
    assert [each.what for each in week.monitor.report.shifted] == ["pump.y"]
    assert week.days(7.1).monitor.report.shifted == []


def test_a_day_off_is_no_shift() -> None:
    week = Week().days(6).days(1, shift=(0.7, 0))
    assert week.monitor.report.shifted == []


def test_scores_that_have_moved_are_named() -> None:
    week = Week(with_baseline=False).days(7, times=2)
    assert [each.what for each in week.monitor.report.shifted] == [SCORE]


def test_what_was_seen_outlives_a_restart_but_not_another_model() -> None:
    week = Week().days(3, shift=(3, 0))
    snapshot = week.monitor.snapshot()
    same, other = Week().monitor, Week("another").monitor
    same.restore(snapshot)
    other.restore(snapshot)
    assert [each.what for each in same.report.shifted] == ["pump.x"]
    assert other.report.looks == 0
    with pytest.raises(ValueError, match="cannot be read"):
        same.restore(b"[]")
    assert len(snapshot) < 4_096


def test_windows_that_overlap_are_looked_at_once_a_minute() -> None:
    week = Week()
    for second in range(0, 3 * 3_600, 5):
        week.monitor.look(np.zeros((2, WINDOW), np.float32), 1.0, START + second * SECOND)
    assert sum(day.looks for day in week.monitor._days) == 180


def test_a_clock_that_was_wrong_leaves_no_trace_after_a_week() -> None:
    week = Week()
    week.monitor.look(np.full((2, WINDOW), 99, np.float32), 99.0, 90 * START)
    assert week.days(7.1).monitor.report.shifted == []


def test_the_index_is_zero_for_equal_shares_and_grows_with_what_moved() -> None:
    shares = np.array([0.25, 0.5, 0.25])
    assert stability_index(np.array([25, 50, 25]), shares) == pytest.approx(0)
    assert stability_index(np.array([35, 45, 20]), shares) < 0.1
    assert stability_index(np.array([0, 10, 90]), shares) > 1

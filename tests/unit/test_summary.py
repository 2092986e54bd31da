"""What a summary reports, when, and how it takes late, lost and absurdly timed samples."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest

from agent.decide.summary import Summary, SummaryReport
from agent.types import Batch, Quality
from tests.harness.streams import batch, pieces, verdict

INTERVAL = 1_000


def summary() -> Summary:
    feeds = {"a": [(1, 0)], "b": [(0, 1)]}
    return Summary("m", ["a.x", "b.y"], ["Cel", "1"], feeds, INTERVAL)


def samples(t_ns: list[int], values: list[float], device: str = "b", **changes: object) -> Batch:
    rows = [[value] for value in values] if device == "b" else [[-1.0, value] for value in values]
    return batch(t_ns, rows, device=device, **changes)


def closed(subject: Summary, t_ns: int) -> SummaryReport:
    report = subject.close_before(t_ns)
    assert report is not None
    return report


def test_a_report_gives_each_channel_its_statistics_in_model_order() -> None:
    subject = summary()
    subject.add_samples(samples([10, 20, 30, 40], [1, 2, 3, 6]))
    subject.add_samples(samples([10, 20], [20.5, 20.5], device="a"))
    report = closed(subject, 1_000)
    assert [(each.channel, each.unit, each.lost) for each in report.channels] == [("a.x", "Cel", 0), ("b.y", "1", 0)]
    x, y = (each.values for each in report.channels)
    assert (x.n, x.min, x.mean, x.max, x.std, x.p50) == (2, 20.5, 20.5, 20.5, 0.0, 20.5)
    assert (y.n, y.min, y.mean, y.max) == (4, 1.0, 3.0, 6.0)
    assert y.std == pytest.approx(np.std([1, 2, 3, 6]))


def test_intervals_lie_on_multiples_and_the_first_begins_with_its_first_sample() -> None:
    subject = summary()
    subject.add_samples(samples([2_300], [1]))
    assert subject.close_before(2_999) is None
    first = closed(subject, 3_000)
    second = closed(subject, 4_100)
    assert [(report.start_ns, report.end_ns) for report in (first, second)] == [(2_300, 3_000), (3_000, 4_000)]


def test_a_sample_of_the_next_interval_waits_for_it() -> None:
    subject = summary()
    subject.add_samples(samples([900, 999, 1_000, 1_001], [1, 1, 5, 5]))
    assert closed(subject, 1_000).channels[1].values.max == 1.0
    report = closed(subject, 2_000)
    assert (report.channels[1].values.n, report.channels[1].values.min) == (2, 5.0)


def test_a_late_sample_counts_in_the_open_interval() -> None:
    subject = summary()
    subject.add_samples(samples([10], [1]))
    closed(subject, 1_000)
    subject.add_samples(samples([20], [2]))
    assert closed(subject, 2_000).channels[1].values.n == 1


def test_losses_flags_and_values_that_are_no_numbers_are_lost() -> None:
    subject = summary()
    subject.add_samples(samples([1, 2, 3], [1, np.nan, 3], quality=[[0], [0], [2]], lost=10))
    channel = closed(subject, 1_000).channels[1]
    assert (channel.values.n, channel.values.max, channel.lost) == (1, 1.0, 12)


def test_flagged_values_are_counted_by_what_is_wrong_with_them() -> None:
    subject = summary()
    subject.add_samples(samples([1, 2, 3], [1, 2, 3], quality=[[0], [Quality.STUCK], [Quality.STUCK | Quality.DULL]]))
    assert closed(subject, 1_000).channels[1].flagged == {"stuck": 2, "dull": 1}
    subject.add_samples(samples([1_001], [1]))
    assert closed(subject, 2_000).channels[1].flagged == {}


def test_windows_scores_and_alarms_are_counted() -> None:
    subject = summary()
    subject.add_samples(samples([1], [1]))
    for score in (1.0, 2.0, 3.0):
        subject.add_verdict(verdict(5, score))
    subject.add_verdict(verdict(5, float("nan"), unknown="gap"))
    subject.add_alarm()
    report = closed(subject, 1_000)
    assert (report.windows_scored, report.windows_unknown, report.alarms_raised) == (3, 1, 1)
    assert (report.score.n, report.score.mean) == (3, 2.0)
    assert (closed(subject, 2_000).windows_scored, subject.close_before(2_500)) == (0, None)


def test_a_report_without_values_is_json_without_nan() -> None:
    subject = summary()
    subject.add_samples(samples([1], [np.nan]))
    report = json.loads(msgspec.json.encode(closed(subject, 1_000)), parse_constant=pytest.fail)
    assert report["channels"][1]["values"] == {"n": 0} | dict.fromkeys(
        ["min", "mean", "max", "std", "p05", "p25", "p50", "p75", "p95", "p99", "cells"]
    )
    assert report["score"]["p50"] is None


def test_empty_intervals_are_skipped() -> None:
    subject = summary()
    subject.add_samples(samples([1], [1]))
    closed(subject, 50_300)
    assert subject.close_before(50_900) is None
    assert closed(subject, 51_000).start_ns == 50_000


def test_a_clock_set_back_ends_the_interval_where_it_is() -> None:
    subject = summary()
    subject.add_samples(samples([10**15], [1]))
    assert subject.close_before(10**15 + 100) is None
    report = closed(subject, 5_200)
    assert (report.start_ns, report.end_ns) == (10**15, 10**15 + 100)
    assert closed(subject, 6_000).start_ns == 5_200


def test_one_absurd_time_stamp_closes_nothing_and_samples_far_ahead_do_not_pile_up() -> None:
    subject = summary()
    subject.add_samples(samples([1], [1]))
    for _ in range(10):
        subject.add_samples(samples([10**15] * 1_000, [7.0] * 1_000))
    assert subject._devices["b"].rows < 4_000
    assert subject.close_before(500) is None


def test_a_stop_reports_what_there_is() -> None:
    subject = summary()
    assert subject.close(0) is None
    subject.add_samples(samples([100], [1]))
    report = subject.close(400)
    assert report is not None
    assert (report.start_ns, report.end_ns) == (100, 400)


def test_a_long_interval_is_folded_in_parts_and_equals_one_fold_however_it_was_split() -> None:
    generator = np.random.default_rng(3)
    values = (generator.normal(size=9_000) * 3 + 230).astype(np.float32).tolist()
    whole = samples(list(range(9_000)), values)
    reports = []
    for size in (1, 64, 5_000):
        subject = Summary("m", ["b.y"], ["V"], {"b": [(0, 0)]}, 10_000)
        for part in pieces(whole, range(size, 9_000, size)):
            subject.add_samples(part)
        reports.append(closed(subject, 10_000).channels[0].values)
    for found in reports:
        assert found.n == 9_000
        assert found.mean == pytest.approx(np.mean(values), rel=1e-9)
        assert found.std == pytest.approx(np.std(values), rel=1e-6)
        wanted = np.quantile(values, [0.05, 0.5, 0.99])
        np.testing.assert_allclose([found.p05, found.p50, found.p99], wanted, atol=0.2)


def test_quantiles_of_a_steady_signal_far_from_zero_are_fine_from_its_own_level() -> None:
    values = (230 + np.linspace(-0.5, 0.5, 2_001)).astype(np.float32).tolist()
    subject = summary()
    subject.add_samples(samples([1] * 2_001, values))
    found = closed(subject, 1_000).channels[1].values
    assert found.p05 == pytest.approx(229.55, abs=0.01)
    assert found.p99 == pytest.approx(230.49, abs=0.01)

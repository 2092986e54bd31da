"""Is a newcomer good, or gone back from? And may a candidate take the incumbent's place?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.bundles.comparison import Comparison, Judged, Promotion, unmet
from agent.bundles.probation import Bounds, Failed, Seen, judge
from agent.types import NANOSECONDS

HOUR_NS = 3_600 * NANOSECONDS
BOUNDS = Bounds(lasts_ns=HOUR_NS, windows=100, starts=3, alarms=5, latency_ms=10.0)
GOOD = Seen(ran_ns=HOUR_NS, windows=100, alarms=5, failures=2, latency_ms=10.0)
PROMOTION = Promotion(windows=100, agreement=0.99, correlation=0.5, alarms=1.0, latency=2.0)


def test_all_bounds_kept_for_long_enough_is_good() -> None:
    assert judge(GOOD, BOUNDS) == "good"


@pytest.mark.parametrize("less", [{"ran_ns": HOUR_NS - 1}, {"windows": 99}])
def test_too_little_time_or_too_few_windows_decide_nothing(less: dict[str, int]) -> None:
    assert judge(replace(GOOD, **less), BOUNDS) == "undecided"


@pytest.mark.parametrize(
    ("worse", "why"),
    [
        ({"alarms": 6}, "it raised 6 alarms in 60 min, 5 is the most"),
        ({"failures": 3}, "it failed 3 times"),
        ({"latency_ms": 10.1}, "it takes 10.1 ms a window, 10 ms is the most"),
    ],
)
def test_what_exceeds_a_bound_fails_at_once(worse: dict[str, float], why: str) -> None:
    assert judge(replace(GOOD, **worse), BOUNDS) == Failed(why)
    assert judge(replace(GOOD, ran_ns=0, **worse), BOUNDS) == Failed(why.replace("60 min", "1 min"))


def test_the_first_runs_which_warm_up_say_nothing_of_latency() -> None:
    assert judge(replace(GOOD, windows=19, latency_ms=1e6), BOUNDS) == "undecided"


def test_no_alarm_at_all_may_be_allowed() -> None:
    strict = replace(BOUNDS, alarms=0)
    assert judge(replace(GOOD, alarms=0), strict) == "good"
    assert judge(replace(GOOD, alarms=1), strict) == Failed("it raised 1 alarms in 60 min, 0 is the most")


def compared(pairs: list[tuple[Judged, Judged]]) -> Comparison:
    comparison = Comparison()
    for incumbent, candidate in pairs:
        comparison.add(incumbent, candidate, 36 * NANOSECONDS)
    return comparison


def test_agreement_correlation_alarms_and_hours_are_what_they_say() -> None:
    random = np.random.default_rng(1)
    x = random.standard_normal(200)
    y = 0.8 * x + 0.6 * random.standard_normal(200)
    pairs = [
        (Judged(n < 10, float(a), int(n == 0)), Judged(n < 14, float(b), int(n in {0, 12})))
        for n, (a, b) in enumerate(zip(x, y, strict=True))
    ]
    found = compared(pairs).report(1.5, 1.0, 7)
    assert found.agreement == 196 / 200
    assert found.correlation == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert (found.incumbent_alarms, found.candidate_alarms, found.hours, found.dropped) == (1, 2, 2.0, 7)


def test_before_there_is_anything_to_compare_nothing_is_claimed() -> None:
    found = Comparison().report(None, None, 0)
    assert (found.agreement, found.correlation) == (None, None)
    assert len(unmet(found, PROMOTION)) == 4


def test_scores_that_are_no_numbers_or_never_change_correlate_with_nothing() -> None:
    still = Judged(False, 0.5, 0)
    assert compared([(still, still)] * 5).report(None, None, 0).correlation is None
    found = compared([(Judged(False, float("nan"), 0), still)] * 5).report(None, None, 0)
    assert (found.windows, found.correlation) == (5, None)


def alike(windows: int) -> Comparison:
    scores = np.random.default_rng(2).standard_normal(windows).tolist()
    return compared([(Judged(False, each, 0), Judged(False, each, 0)) for each in scores])


def test_a_candidate_that_keeps_all_bounds_is_promoted() -> None:
    assert unmet(alike(100).report(2.0, 1.0, 0), PROMOTION) == []


@pytest.mark.parametrize(
    ("windows", "candidate_ms", "spoil", "why"),
    [
        (99, 1.0, {}, "99 windows compared, 100 are wanted"),
        (100, 2.1, {}, "2.1 ms a window are more than 2 ms"),
        (100, None, {}, "unknown ms a window are more than 2 ms"),
        (100, 1.0, {"candidate_alarms": 2}, "2 alarms are more than 1"),
        (100, 1.0, {"agreed": 98}, "agreement 0.98 is below 0.99"),
        (100, 1.0, {"failures": 1}, "it failed 1 times"),
    ],
)
def test_each_bound_alone_keeps_a_candidate_from_promotion(
    windows: int, candidate_ms: float | None, spoil: dict[str, int], why: str
) -> None:
    comparison = alike(windows)
    for name, value in spoil.items():
        setattr(comparison, name, value)
    assert unmet(comparison.report(candidate_ms, 1.0, 0), PROMOTION) == [why]


def test_a_candidate_may_raise_as_many_alarms_as_the_incumbent_and_one() -> None:
    comparison = alike(100)
    comparison.incumbent_alarms, comparison.candidate_alarms = 3, 4
    assert unmet(comparison.report(1.0, 1.0, 0), PROMOTION) == []
    comparison.candidate_alarms = 5
    assert unmet(comparison.report(1.0, 1.0, 0), PROMOTION) == ["5 alarms are more than 4"]

"""The rate of false alarms that a machine really has: what counts, for how many hours, and how sure that is."""

from __future__ import annotations

import pytest
from scipy import stats

from agent.decide.achieved import FalseAlarms, poisson_interval
from agent.decide.alarm import MODEL, Act, Reading
from agent.decide.condition import Finding
from agent.decide.explanation import unexplained
from agent.decide.isa18 import Action
from agent.decide.point import AlarmPoint, Sight
from tests.harness.alarms import point_rules

SECOND = 1_000_000_000
HOUR = 3_600 * SECOND


class Bench:
    """A model's point, one window an hour, and the count beside it."""

    def __init__(self, point: str = MODEL) -> None:
        self.false_alarms = FalseAlarms(0.1, HOUR, "bundle")
        self.point = AlarmPoint(point_rules(HOUR, point=point))
        self.hours = 0

    def see(self, *findings: Finding) -> Bench:
        for finding in findings:
            self.hours += 1
            sight = Sight((self.hours - 1) * HOUR, self.hours * HOUR, finding, Reading(strangeness=0.0))
            self.false_alarms.take(self.point.step(sight, unexplained))
        return self

    def act(self, action: Action, verdict: str | None = None, until_ns: int | None = None) -> Bench:
        act = Act(by="ann", comment="seen", time_ns=self.hours * HOUR, until_ns=until_ns, verdict=verdict)
        self.false_alarms.take(self.point.act(action, act))
        return self

    @property
    def counts(self) -> tuple[int, int, int]:
        told = self.false_alarms.report()
        return told.raised, told.confirmed_true, told.confirmed_false


def test_an_alarm_is_false_until_an_operator_says_that_it_was_true() -> None:
    bench = Bench().see("normal", "deviating")
    assert bench.counts == (1, 0, 0)
    assert bench.act(Action.ACK, "true").counts == (1, 1, 0)


def test_an_operators_verdict_is_on_every_raising_of_that_alarm_and_on_no_other() -> None:
    bench = Bench().see("deviating", "normal", "deviating", "normal").act(Action.ACK, "true")
    assert bench.counts == (2, 2, 0)
    assert bench.see("deviating").counts == (3, 2, 0)
    assert bench.act(Action.ACK, "false").counts == (3, 2, 1)


def test_an_alarm_that_nobody_judged_is_not_judged_with_the_next_one() -> None:
    bench = Bench().see("deviating", "normal").act(Action.ACK)
    assert bench.see("deviating").act(Action.ACK, "true").counts == (2, 1, 0)


def test_what_is_hidden_counts_only_when_it_comes_to_light_and_once() -> None:
    bench = Bench().act(Action.REMOVE).see("deviating", "normal", "deviating")
    assert bench.counts == (0, 0, 0)
    assert bench.act(Action.RETURN).counts == (1, 0, 0)
    assert bench.act(Action.REMOVE).act(Action.RETURN).counts == (1, 0, 0)


def test_a_rules_alarms_have_no_budget() -> None:
    assert Bench("current.high").see("deviating").counts == (0, 0, 0)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 30, 100])
def test_the_interval_is_garwoods(count: int) -> None:
    low = stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    assert poisson_interval(count) == pytest.approx((low, stats.chi2.ppf(0.975, 2 * count + 2) / 2), rel=1e-6)


@pytest.mark.parametrize("count", [101, 1_000, 100_000])
def test_a_large_count_has_nearly_the_exact_interval(count: int) -> None:
    exact = (stats.chi2.ppf(0.025, 2 * count) / 2, stats.chi2.ppf(0.975, 2 * count + 2) / 2)
    assert poisson_interval(count) == pytest.approx(exact, rel=1e-3)


def test_the_budget_is_kept_only_once_the_interval_lies_below_it() -> None:
    bench = Bench()
    before = bench.false_alarms.report()
    assert (before.rate_per_hour, before.high_per_hour, before.verdict) == (None, None, "unsure")
    for _ in range(30):
        bench.false_alarms.watched()
    young = bench.false_alarms.report()
    assert (young.hours, young.rate_per_hour, young.verdict) == (30.0, 0.0, "unsure")
    assert young.high_per_hour == pytest.approx(3.689 / 30, rel=1e-3)
    for _ in range(10):
        bench.false_alarms.watched()
    assert bench.false_alarms.report().verdict == "kept"
    bench.see(*["deviating", "normal"] * 20)
    assert bench.false_alarms.report().verdict == "exceeded"


def test_the_count_outlives_a_restart_but_not_another_model() -> None:
    bench = Bench().see("deviating")
    bench.false_alarms.watched()
    kept = bench.false_alarms.snapshot()
    same, other = FalseAlarms(0.1, HOUR, "bundle"), FalseAlarms(0.1, HOUR, "another")
    same.restore(kept)
    other.restore(kept)
    assert same.report() == bench.false_alarms.report()
    assert (other.report().raised, other.report().hours) == (0, 0.0)
    with pytest.raises(ValueError, match="cannot be read"):
        same.restore(b"{}")
    assert same.report().raised == 1

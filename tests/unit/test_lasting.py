"""Lasting evidence: what adds up, what does not, and how rarely normal operation gathers as much."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decide.calibration import Lasting
from agent.decide.lasting import Evidence, level_at, likelihoods, normal_scores, rate_of, sums
from agent.window.contract import Contract, ContractChannel
from export import calibrate
from tests.harness.bundles import manifest

SECOND = 1_000_000_000
LASTING = Lasting(reference=0.5, threshold=5.0, rate_per_hour=4.0, scale=3.0, excursions=100)
BUDGET = 1 / 720
CONTRACT = Contract(channels=[ContractChannel(name="x", unit="1")], rate_hz=1.0, window=1, hop=1)


def gathered(normal: list[float], step_s: int = 1) -> list[float]:
    evidence = Evidence(LASTING, BUDGET, SECOND)
    return [evidence.step(each, index * step_s * SECOND) for index, each in enumerate(normal)]


def test_scores_at_their_usual_level_are_no_evidence() -> None:
    assert gathered([0.0] * 50) == [math.inf] * 50


def test_a_small_lasting_shift_becomes_rarer_with_every_window_until_it_is_out_of_budget() -> None:
    rates = gathered([1.5] * 40)
    assert rates == sorted(rates, reverse=True)
    assert rates[3] > BUDGET > rates[-1]


def test_one_outlier_is_not_lasting() -> None:
    assert min(gathered([4.0] + [0.0] * 10)) > 1.0


def test_evidence_is_gone_soon_after_a_long_fault() -> None:
    rates = gathered([4.0] * 10_000 + [0.0] * 60)
    assert rates[9_999] < BUDGET
    assert rates[-1] > 10 * BUDGET


def test_evidence_does_not_outlive_a_gap_longer_than_it_took_to_gather() -> None:
    evidence = Evidence(LASTING, BUDGET, SECOND)
    bridged = [evidence.step(3.0, at * SECOND) for at in (1, 2, 3, 7)]
    assert bridged[-1] < bridged[-2]
    lost = evidence.step(3.0, 60 * SECOND)
    assert lost == bridged[0]


@pytest.mark.parametrize("windows", [1, 2, 5])
def test_evidence_of_n_windows_bridges_n_plus_one_hops_and_not_a_nanosecond_more(windows: int) -> None:
    def after(gap_ns: int) -> float:
        evidence = Evidence(LASTING, BUDGET, SECOND)
        for at in range(windows):
            evidence.step(1.0, at * SECOND)
        return evidence.step(1.0, (windows - 1) * SECOND + gap_ns)

    alone = Evidence(LASTING, BUDGET, SECOND).step(1.0, 0)
    assert after((windows + 1) * SECOND) < alone
    assert after((windows + 1) * SECOND + 1) == alone


def test_windows_without_evidence_bridge_nothing() -> None:
    evidence = Evidence(LASTING, BUDGET, SECOND)
    for at in range(5):
        evidence.step(0.0, at * SECOND)
    alone = evidence.step(1.0, 5 * SECOND)
    assert evidence.step(1.0, 7 * SECOND) < alone
    assert evidence.step(1.0, 11 * SECOND) == alone


def test_two_windows_that_end_at_once_both_count() -> None:
    evidence = Evidence(LASTING, BUDGET, SECOND)
    assert evidence.step(3.0, SECOND) > evidence.step(3.0, SECOND)


def test_a_little_evidence_has_a_rate_and_none_has_not() -> None:
    assert rate_of(LASTING, 0.5) == pytest.approx(4.0 * math.exp(1.5))
    assert rate_of(LASTING, 0.0) == math.inf


def test_without_a_body_the_rate_at_the_threshold_is_the_usual_one() -> None:
    bare = msgspec.structs.replace(manifest().calibration, body_scores=[], body_rates=[], rate_per_hour=8.0)
    assert normal_scores(bare, np.array([8.0, 4.0])).tolist() == pytest.approx([-4.0, 0.0], abs=1e-3)


def test_what_never_happens_counts_for_no_more_than_four_and_is_no_error() -> None:
    with np.errstate(all="raise"):
        found = normal_scores(manifest().calibration, np.array([0.0, 1e-300, np.inf, np.nan]))
    np.testing.assert_array_equal(found, [4.0, 4.0, -4.0, np.nan])


def test_time_that_runs_backwards_starts_anew() -> None:
    evidence = Evidence(LASTING, BUDGET, SECOND)
    first = evidence.step(3.0, 10 * SECOND)
    assert evidence.step(3.0, 5 * SECOND) == first


def test_the_level_of_a_rate_has_that_rate() -> None:
    assert rate_of(LASTING, level_at(LASTING, BUDGET)) == pytest.approx(BUDGET)


@given(st.lists(st.floats(-4, 4), max_size=200))
def test_sums_all_at_once_are_those_one_by_one(normal: list[float]) -> None:
    total, expected = 0.0, []
    for each in normal:
        total = max(0.0, total + each - 0.5)
        expected.append(total)
    np.testing.assert_allclose(sums(normal, 0.5), expected, atol=1e-9)


def test_normal_scores_of_normal_operation_are_standard_normal_where_it_counts() -> None:
    scores = np.random.default_rng(7).exponential(size=100_000).astype(np.float32)
    end_ns = (np.arange(len(scores)) + 1) * SECOND
    fitted = calibrate.fit([(scores[:50_000], end_ns[:50_000])], CONTRACT).calibration
    normal = np.array([each.normal_score for each in likelihoods(fitted, scores[50_000:])])
    for level, share in ((0.0, 0.5), (1.0, 0.1587), (2.0, 0.0228)):
        assert (normal > level).mean() == pytest.approx(share, rel=0.15)
    assert np.isnan(likelihoods(manifest().calibration, [float("nan")])[0].normal_score)


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_normal_operation_gathers_too_much_about_as_often_as_promised_though_its_scores_hang_together(
    memory: float,
) -> None:
    """At a budget that a simulation of this length can count: 6 an hour."""
    rng, budget = np.random.default_rng(8), 6.0

    def draw(n: int) -> np.ndarray:
        steps, found = rng.normal(size=n) * math.sqrt(1 - memory**2), np.empty(n)
        level = 0.0
        for index, each in enumerate(steps):
            level = found[index] = memory * level + each
        return found.astype(np.float32)

    hours = 200
    end_ns = (np.arange(hours * 3_600) + 1) * SECOND
    calibration = calibrate.fit([(draw(hours * 3_600), end_ns)], CONTRACT).calibration
    evidence, alarms, over = Evidence(calibration.lasting, budget, SECOND), 0, False
    for at, each in zip(end_ns.tolist(), likelihoods(calibration, draw(hours * 3_600)), strict=True):
        rate = evidence.step(each.normal_score, at)
        alarms += rate <= budget and not over
        over = rate <= budget or (over and rate <= 10 * budget)
    assert 0.3 < alarms / hours / budget < 1.3


def test_too_little_data_gives_no_lasting_evidence() -> None:
    scores = np.random.default_rng(9).normal(size=25).astype(np.float32)
    assert calibrate.fit([(scores, (np.arange(25) + 1) * SECOND)], CONTRACT).calibration.lasting is None

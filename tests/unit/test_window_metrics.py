"""Window metrics and their bootstrap: scikit-learn's numbers, intervals that cover, blocks that keep neighbours together."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from export.judge import blocks
from export.judge.window_metrics import NAMES, Sample, measure


def sample(n: int = 400, seed: int = 0, decimals: int = 1) -> Sample:
    rng = np.random.default_rng(seed)
    anomalous = (np.arange(n) // 25) % 4 == 3
    score = np.round(rng.normal(size=n) + 1.5 * anomalous, decimals)
    none = np.zeros(n)
    return Sample(score, anomalous, score > 1.5, none, none, none, 0.01)


def at_once(found: Sample, weights: np.ndarray) -> dict[str, float]:
    return {name: float(value[0]) for name, value in measure(found, weights[None, :]).items()}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), decimals=st.integers(0, 6))
def test_weighted_windows_give_what_scikit_learn_gives(seed: int, decimals: int) -> None:
    found = sample(seed=seed, decimals=decimals)
    weights = np.random.default_rng(seed).integers(0, 4, len(found.score)).astype(float)
    got = at_once(found, weights)
    y, flagged, kwargs = found.anomalous, found.flagged, {"sample_weight": weights}
    assert got["precision"] == pytest.approx(sk.precision_score(y, flagged, zero_division=0.0, **kwargs))
    assert got["recall"] == pytest.approx(sk.recall_score(y, flagged, **kwargs))
    assert got["f1"] == pytest.approx(sk.f1_score(y, flagged, **kwargs))
    assert got["accuracy"] == pytest.approx(sk.accuracy_score(y, flagged, **kwargs))
    assert got["false_alarm_rate"] == pytest.approx(1 - sk.recall_score(~y, ~flagged, **kwargs))
    assert got["missed_alarm_rate"] == pytest.approx(1 - got["recall"])
    assert got["roc_auc"] == pytest.approx(sk.roc_auc_score(y, found.score, **kwargs))
    assert got["average_precision"] == pytest.approx(sk.average_precision_score(y, found.score, **kwargs))


def test_what_labels_cannot_tell_is_nan() -> None:
    normal = dataclasses.replace(sample(), anomalous=np.zeros(400, np.bool_))
    got = at_once(normal, np.ones(400))
    assert {name for name, value in got.items() if not np.isnan(value)} == {"false_alarm_rate", "false_alarms_per_day"}
    assert set(got) == set(NAMES)


def test_alarms_and_events_are_weighted_with_the_window_that_they_fall_in() -> None:
    one = np.zeros(400)
    one[[0, 300]] = 1.0
    found = dataclasses.replace(sample(), false_alarms=one, events=one, events_found=one * (np.arange(400) < 100))
    weights = np.ones(400)
    weights[0] = 3.0
    got = at_once(found, weights)
    hours = 0.01 * float((weights * ~found.anomalous).sum())
    assert got["false_alarms_per_day"] == pytest.approx(4 / hours * 24)
    assert got["event_recall"] == pytest.approx(3 / 4)


def test_resamples_are_blocks_of_neighbours_as_long_as_the_run() -> None:
    plan = blocks.Plan(block_windows=10, resamples=50)
    (weights,) = blocks._weights(np.random.default_rng(0), [95, 40], plan.block_windows, [50])
    assert weights.shape == (50, 135)
    assert (weights[:, :95].sum(axis=1) == 95).all(), "no window crosses from one run to another"
    assert (weights[:, 95:].sum(axis=1) == 40).all()
    changes = (np.diff(weights[:, :95], axis=1) != 0).sum(axis=1)
    assert changes.max() <= 20, "ten blocks have at most twenty borders"


def test_the_same_seed_draws_the_same_blocks_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = blocks.Plan(block_windows=10, resamples=30)
    first = blocks.resample(sample(), [400], plan)
    again = blocks.resample(sample(), [400], plan)
    assert all(np.array_equal(first[name], again[name], equal_nan=True) for name in first)
    other = blocks.resample(sample(), [400], dataclasses.replace(plan, seed=1))
    assert not np.array_equal(first["f1"], other["f1"])


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """Flags that stick for about 20 windows: blocks of 60 cover the true rate, single windows far too seldom."""

    def covers(seed: int, block: int) -> bool:
        rng = np.random.default_rng(seed)
        n = 3_000
        flagged = np.repeat(rng.random(n // 20) < 0.2, 20)
        none = np.zeros(n)
        found = Sample(flagged.astype(float), none.astype(bool), flagged, none, none, none, 1.0)
        low, high = blocks.intervals(blocks.resample(found, [n], blocks.Plan(block, 200, seed)))["false_alarm_rate"]
        return low <= 0.2 <= high

    assert sum(covers(seed, 60) for seed in range(60)) >= 51
    assert sum(covers(seed, 1) for seed in range(60)) <= 40


def test_a_metric_that_few_resamples_define_has_no_interval() -> None:
    values = {"recall": np.array([np.nan] * 2 + [0.5] * 8), "f1": np.linspace(0, 1, 41)}
    assert blocks.intervals(values) == {"f1": (pytest.approx(0.025), pytest.approx(0.975))}


@pytest.mark.parametrize(
    ("labels", "overlap", "expected"),
    [
        ([np.zeros(1_000, np.bool_)], 4, 10),
        ([np.zeros(1_000, np.bool_)], 40, 40),
        ([np.arange(1_000) >= 940], 4, 60),
        ([np.arange(1_000) >= 100], 4, 250),
        ([np.zeros(3, np.bool_)], 9, 1),
        ([], 9, 1),
    ],
)
def test_a_block_spans_overlap_dependence_or_a_fault(labels: list, overlap: int, expected: int) -> None:
    assert blocks.block_length(labels, overlap) == expected

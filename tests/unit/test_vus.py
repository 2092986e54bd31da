"""Volumes under the surface: what they are for scores that are plain, and the same as the authors' program gives."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from sklearn import metrics as sk

from export.judge.vus import soft_labels, volumes


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch):
    """The authors' implementation; pandas and tqdm, which it imports and the function does not use, need not be there."""
    for name in ("pandas", "tqdm"):
        stand_in = types.ModuleType(name)
        stand_in.tqdm = None
        monkeypatch.setitem(sys.modules, name, stand_in)
    module = pytest.importorskip(
        "vus.utils.metrics", reason="the package 'vus' is not installed: scripts/setup dev brings it"
    )
    return module.metricor().RangeAUC_volume_opt


def some_run(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    n = int(rng.integers(30, 900))
    labels = np.zeros(n, np.bool_)
    for start in rng.integers(0, n, rng.integers(1, 9)):
        labels[start : start + rng.integers(1, 40)] = True
    labels[rng.integers(0, n)] = False
    return np.round(rng.normal(size=n) + labels * rng.uniform(0, 3), rng.integers(0, 6)), labels


@pytest.mark.parametrize("seed", range(40))
def test_it_agrees_with_the_published_program(published, seed: int) -> None:
    rng = np.random.default_rng(seed)
    score, labels = some_run(rng)
    buffer = int(rng.integers(0, 60))
    *_, roc, pr = published(labels.astype(int), score, buffer)
    found = volumes([(score, labels)], buffer)
    assert (found.roc, found.pr) == pytest.approx((roc, pr), abs=1e-12)


def test_without_a_buffer_it_is_the_area_under_the_usual_curve_times_detection() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(250) >= 200
    score = rng.normal(size=250) + 2 * labels
    found = volumes([(score, labels)], 0)
    assert found.roc == pytest.approx(sk.roc_auc_score(labels, score), abs=5e-3)
    assert found.pr == pytest.approx(sk.average_precision_score(labels, score), abs=5e-3)


def test_a_score_that_is_early_by_less_than_the_buffer_is_forgiven_in_part() -> None:
    labels = np.zeros(500, np.bool_)
    labels[250:300] = True
    early = np.zeros(500)
    early[240:290] = 1.0
    assert volumes([(early, labels)], 40).pr > volumes([(early, labels)], 0).pr + 0.05


def test_no_slope_crosses_from_one_run_to_the_next() -> None:
    fault, normal = np.arange(100) >= 90, np.zeros(100, np.bool_)
    score, echo = fault.astype(float), 2.0 * (np.arange(100) < 5)
    apart = volumes([(score, fault), (echo, normal)], 20)
    joined = volumes([(np.concatenate((score, echo)), np.concatenate((fault, normal)))], 20)
    assert apart.pr < joined.pr - 0.05


def test_slopes_fall_by_the_root_and_meet_at_1() -> None:
    labels = np.zeros(12, np.bool_)
    labels[[4, 7]] = True
    soft = soft_labels(labels, 4)
    assert soft[[2, 3]] == pytest.approx([np.sqrt(0.5), np.sqrt(0.75)])
    assert soft[5] == 1.0
    assert soft[[0, 1, 10, 11]] == pytest.approx(0)


def test_only_normal_windows_have_no_volume() -> None:
    with pytest.raises(ValueError, match="needs anomalous windows"):
        volumes([(np.arange(5.0), np.zeros(5, np.bool_))], 2)

"""Judging by scores that are known: what counts as detected, as false, and as delay."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from agent.errors import ConfigError
from agent.window.contract import Contract, ContractChannel
from export.data import Run
from export.judge.alarms import anomalous_stretches
from export.judge.judgement import judge
from export.judge.scoring import decide, score_at_budget, score_runs
from tests.harness.bundles import manifest

CONTRACT = Contract(channels=[ContractChannel(name="x", unit="1")], rate_hz=1.0, window=4, hop=1)
CALIBRATION = manifest().calibration  # one exceedance an hour at score 4, 1/e of it for each 1 above
ALARMING = 30.0


class LastValue(torch.nn.Module):
    """Scores a window by its newest cell."""

    def forward(self, window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return window[:, 0, -1], window[:, :, -1]


def run(values: np.ndarray, anomalous: np.ndarray | None) -> Run:
    return Run(
        "run",
        "test",
        np.arange(len(values)) * 1_000_000_000,
        values.astype(np.float32)[:, None],
        None if anomalous is None else anomalous.astype(np.int64),
    )


def judged(values: np.ndarray, anomalous: np.ndarray | None):
    return judge(LastValue(), CONTRACT, CALIBRATION, [run(values, anomalous)], budget_per_hour=0.01)


def test_an_alarm_within_the_anomaly_is_detected_with_the_delay_to_the_end_of_its_cell() -> None:
    values, anomalous = np.zeros(100), np.arange(100) >= 60
    values[63:] = ALARMING
    (found,) = judged(values, anomalous).runs
    assert found.delays_s == [4.0]
    assert found.false_alarms == 0


def test_an_alarm_before_the_anomaly_is_false_and_detects_nothing() -> None:
    values, anomalous = np.zeros(100), np.arange(100) >= 60
    values[50:] = ALARMING
    (found,) = judged(values, anomalous).runs
    assert (found.false_alarms, found.delays_s) == (1, [None])


def test_each_stretch_is_detected_by_itself() -> None:
    values, anomalous = np.zeros(100), np.zeros(100, np.bool_)
    anomalous[20:30] = anomalous[50:60] = anomalous[80:90] = True
    values[22:25] = values[80:85] = values[40] = ALARMING
    judgement = judged(values, anomalous)
    assert judgement.runs[0].delays_s == [3.0, None, 1.0]
    assert judgement.runs[0].false_alarms == 1
    assert judgement.metrics["median_delay_s"] == 2.0
    assert (judgement.metrics["anomalies"], judgement.metrics["anomalies_detected"]) == (3, 2)


def test_window_metrics_are_counted_without_adjustment() -> None:
    values, anomalous = np.zeros(103), np.arange(103) >= 53
    values[60:70] = values[10:15] = ALARMING
    found = judged(values, anomalous).metrics
    assert found["precision"] == pytest.approx(10 / 15)
    assert found["recall"] == pytest.approx(10 / 49)  # the last cell is not complete, so 49 rows are judged
    assert found["false_alarm_rate"] == pytest.approx(5 / 50)


def test_a_run_without_labels_is_normal_throughout() -> None:
    values = np.zeros(3_604)
    values[100] = ALARMING
    judgement = judged(values, None)
    assert judgement.metrics["false_alarms"] == 1
    assert judgement.metrics["false_alarms_per_day"] == pytest.approx(24, rel=1e-3)
    assert "recall" not in judgement.metrics


def test_stretches_reach_to_both_ends() -> None:
    assert anomalous_stretches(np.arange(5), np.array([True, True, False, False, True])) == [(0, 1), (4, 4)]
    assert anomalous_stretches(np.arange(2), np.zeros(2, np.bool_)) == []


def test_what_is_flagged_lies_at_the_threshold_or_above() -> None:
    values = np.linspace(0, 30, 203)
    judgement = judged(values, np.arange(203) >= 100)
    scored = score_runs(LastValue(), CONTRACT, [run(values, None)])
    (decided,) = decide(scored, CONTRACT, CALIBRATION, 0.01)
    assert judgement.threshold is not None
    assert (decided.flagged == (decided.scored.score >= np.float32(judgement.threshold))).all()
    assert 0 < decided.flagged.sum() < len(decided.flagged)


def test_a_budget_that_no_score_meets_has_no_threshold() -> None:
    bounded = msgspec.structs.replace(CALIBRATION, rate_per_hour=1.0, shape=0.0)
    assert score_at_budget(bounded, 0.0) == np.inf


def test_a_perfect_detector_has_every_score_at_its_best() -> None:
    values, anomalous = np.zeros(303), (np.arange(303) >= 100) & (np.arange(303) < 200)
    values[anomalous] = ALARMING
    found = judged(values, anomalous).metrics
    for name in ("accuracy", "vus_pr", "average_precision", "event_recall"):
        assert found[name] == pytest.approx(1)
    for name in ("changepoint_standard", "nab_standard", "nab_reward_low_FP_rate", "nab_reward_low_FN_rate"):
        assert found[name] == pytest.approx(100)
    assert found["vus_roc"] > 0.99


def test_every_interval_holds_the_value_that_it_is_of() -> None:
    rng = np.random.default_rng(0)
    anomalous = (np.arange(2_003) // 50) % 4 == 3
    values = rng.gamma(2.0, 1.0, 2_003) + 4 * anomalous * (rng.random(2_003) < 0.5)
    judgement = judged(values, anomalous)
    assert {"f1", "roc_auc", "false_alarms_per_day", "event_recall"} <= judgement.intervals.keys()
    for name, (low, high) in judgement.intervals.items():
        assert low <= judgement.metrics[name] <= high
    assert (judgement.block_windows, judgement.resamples, judgement.vus_buffer_windows) == (50, 1_000, 4)
    assert judgement.changepoint_window_s == 60


def test_runs_too_short_for_a_window_count_with_their_anomalies_missed() -> None:
    values, anomalous = np.zeros(100), np.arange(100) >= 60
    values[60:] = ALARMING
    short = run(np.zeros(3), np.ones(3, np.bool_))
    judgement = judge(LastValue(), CONTRACT, CALIBRATION, [run(values, anomalous), short], budget_per_hour=0.01)
    assert [each.windows for each in judgement.runs] == [96, 0]
    assert judgement.metrics["event_recall"] == 0.5


def test_where_no_window_is_known_there_is_nothing_to_judge() -> None:
    with pytest.raises(ConfigError, match="no window of 4 cells is known in run"):
        judged(np.zeros(3), None)

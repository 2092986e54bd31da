"""Judging by scores that are known: what counts as detected, as false, and as delay."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agent.window.contract import Contract, ContractChannel
from export.data import Run
from export.evaluate import anomalous_stretches, judge
from tests.harness.bundles import manifest

CONTRACT = Contract(channels=[ContractChannel(name="x", unit="1")], rate_hz=1.0, window=4, hop=1)
CALIBRATION = manifest().calibration  # one exceedance an hour at score 4, 1/e of it for each 1 above
ALARMING = 30.0


class LastValue(torch.nn.Module):
    """Scores a window by its newest cell."""

    def forward(self, window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return window[:, 0, -1], window[:, :, -1]


def run(values: np.ndarray, anomalous: np.ndarray | None) -> Run:
    return Run("run", "test", np.arange(len(values)) * 1_000_000_000, values.astype(np.float32)[:, None], anomalous)


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

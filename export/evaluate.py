"""Judges a model on labelled runs through the daemon's own decisions: window by window, and alarm by alarm."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn import metrics as sk

from agent.decide.alarm import AlarmLifecycle, AlarmRules
from agent.decide.calibration import Calibration, exceedances_per_hour
from agent.types import NANOSECONDS, Float32Array, Int64Array, TimeQuality, Verdict, Window
from agent.window.contract import Contract
from export.data import BoolArray, Run
from export.models.detector import Detector
from export.train import run_model
from export.windows import Windows, cut

PROTOCOL = (
    "causal; a window is anomalous if its last row is; precision, recall and F1 count windows at the budget's threshold, chosen without "
    "labels; no point adjustment; an alarm raised on a normal row is false; delay is from an anomaly's first row to its alarm"
)
_CLEAR_FACTOR = 10.0  # as the agent's configuration has it by default
_NS_PER_HOUR = 3_600 * NANOSECONDS
_UNEXPLAINED = np.empty(0, np.float32)  # the decision to raise does not look at channels

Float64Array = npt.NDArray[np.float64]


class RunJudgement(msgspec.Struct, frozen=True, kw_only=True):
    """One test run. `delays_s` has a number for each anomalous stretch, null where no alarm was raised in it."""

    run: str
    windows: int
    unknown: int
    normal_hours: float
    false_alarms: int
    delays_s: list[float | None]


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """All test runs together. `metrics` leaves out what the labels cannot tell (no anomaly, or nothing else)."""

    protocol: str
    false_alarm_budget_per_hour: float
    metrics: dict[str, float]
    runs: list[RunJudgement]


def judge(
    model: Detector, contract: Contract, calibration: Calibration, runs: Sequence[Run], budget_per_hour: float
) -> Judgement:
    """Score and decide every test run; a run without labels counts as normal throughout."""
    judged, scores, labels = [], [], []
    for run in runs:
        windows = cut(run, contract)
        score, _ = run_model(model, windows.values)
        rates = exceedances_per_hour(calibration, score)
        raised_ns = _alarms(windows, score, rates, contract, budget_per_hour)
        judged.append(_judge_run(run, windows, raised_ns, contract))
        scores.append(score)
        labels.append(_labels(windows))
    score, anomalous = np.concatenate(scores), np.concatenate(labels)
    flagged = exceedances_per_hour(calibration, score) <= budget_per_hour
    found = {**_window_metrics(score, flagged, anomalous), **_alarm_metrics(judged)}
    return Judgement(protocol=PROTOCOL, false_alarm_budget_per_hour=budget_per_hour, metrics=found, runs=judged)


def _alarms(
    windows: Windows, score: Float32Array, rates: Float64Array, contract: Contract, budget_per_hour: float
) -> list[int]:
    """Event times at which the daemon would raise an alarm."""
    hop_ns, length_ns = contract.hop * contract.period_ns, contract.window * contract.period_ns
    rules = AlarmRules(
        machine=windows.run,
        priority="high",
        budget_per_hour=budget_per_hour,
        clear_factor=_CLEAR_FACTOR,
        on_delay_ns=0,
        off_delay_ns=0,
    )
    lifecycle, raised = AlarmLifecycle(rules, hop_ns), []
    for index, end_ns in enumerate(windows.end_ns.tolist()):
        window = Window(windows.run, end_ns - length_ns, end_ns, windows.values[index], None, TimeQuality.DEVICE)
        verdict = Verdict(window, float(score[index]), _UNEXPLAINED, None)
        event = lifecycle.step(verdict, float(rates[index]), list)
        if event is not None and event.type == "new":
            raised.append(end_ns)
    return raised


def _judge_run(run: Run, windows: Windows, raised_ns: Sequence[int], contract: Contract) -> RunJudgement:
    period_ns = contract.period_ns
    stretches = [] if run.anomalous is None else anomalous_stretches(run.t_ns, run.anomalous)
    # A cell ends one period after its row: the alarm that sees a row first is raised then.
    within = [[at for at in raised_ns if first < at <= last + period_ns] for first, last in stretches]
    return RunJudgement(
        run=run.name,
        windows=len(windows),
        unknown=windows.unknown,
        normal_hours=int((~_labels(windows)).sum()) * contract.hop * period_ns / _NS_PER_HOUR,
        false_alarms=len(raised_ns) - sum(len(found) for found in within),
        delays_s=[
            (found[0] - first) / NANOSECONDS if found else None
            for found, (first, _) in zip(within, stretches, strict=True)
        ],
    )


def anomalous_stretches(t_ns: Int64Array, anomalous: BoolArray) -> list[tuple[int, int]]:
    """Times of the first and the last row of every unbroken stretch of anomalous rows."""
    edges = np.diff(np.concatenate(([False], anomalous, [False])).astype(np.int8))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    return [(int(t_ns[start]), int(t_ns[end])) for start, end in zip(starts, ends, strict=True)]


def _labels(windows: Windows) -> BoolArray:
    return np.zeros(len(windows), np.bool_) if windows.anomalous is None else windows.anomalous


def _window_metrics(score: Float32Array, flagged: BoolArray, anomalous: BoolArray) -> dict[str, float]:
    found: dict[str, float] = {"windows": len(score)}
    if not anomalous.all():
        found["false_alarm_rate"] = float(flagged[~anomalous].mean())
    if not anomalous.any():
        return found
    precision, recall, f1, _ = sk.precision_recall_fscore_support(
        anomalous, flagged, average="binary", zero_division=0.0
    )
    found |= {"precision": float(precision), "recall": float(recall), "f1": float(f1)}
    if not anomalous.all():
        found["roc_auc"] = float(sk.roc_auc_score(anomalous, score))
        found["average_precision"] = float(sk.average_precision_score(anomalous, score))
    return found


def _alarm_metrics(runs: Sequence[RunJudgement]) -> dict[str, float]:
    days = sum(run.normal_hours for run in runs) / 24
    delays = [delay for run in runs for delay in run.delays_s]
    detected = [delay for delay in delays if delay is not None]
    found = {"false_alarms": float(sum(run.false_alarms for run in runs)), "normal_days": days}
    if days > 0:
        found["false_alarms_per_day"] = found["false_alarms"] / days
    if delays:
        found["anomalies"], found["anomalies_detected"] = float(len(delays)), float(len(detected))
    if detected:
        found["median_delay_s"] = float(np.median(detected))
    return found

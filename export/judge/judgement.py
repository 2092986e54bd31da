"""Judges a model on labelled runs through the daemon's own decisions: window by window, and alarm by alarm."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from agent.decide.calibration import Calibration
from agent.infer.manifest import States
from agent.types import NANOSECONDS
from agent.window.contract import Contract
from export.data import Run
from export.judge import blocks, nab, skab, vus
from export.judge.alarms import RunJudgement, alarm_metrics, detections, judge_run
from export.judge.kinds import class_metrics
from export.judge.scoring import DecidedRun, decide, score_at_budget, score_runs
from export.judge.stretches import stretches
from export.judge.window_metrics import Sample, measure
from export.models.classifier import Classifier
from export.models.detector import Detector
from export.rows import BoolArray

PROTOCOL = (
    "causal; a window is anomalous if its last row is; precision, recall, F1 and accuracy count windows at the budget's threshold, chosen "
    "without labels; no point adjustment; an alarm raised on a normal row is false; delay is from an anomaly's first row to its "
    "alarm; VUS, changepoint and NAB scores take windows as points and anomalous stretches as events; 95 % intervals by moving "
    "block bootstrap"
)
_LONGEST_BUFFER = 100
_NS_PER_HOUR = 3_600 * NANOSECONDS


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """All test runs together. `metrics` leaves out what the labels cannot tell (no anomaly, or nothing else).

    `threshold` is the lowest score flagged, null where none is strange enough; `intervals` are the 95 % ones of metrics that the
    bootstrap reaches, from `resamples` of blocks of `block_windows`; VUS looks at buffers up to `vus_buffer_windows`; a change may be
    reported for `changepoint_window_s`, SKAB's 60 s or the model's window where that is longer.
    """

    protocol: str
    false_alarm_budget_per_hour: float
    threshold: float | None
    vus_buffer_windows: int
    changepoint_window_s: float
    block_windows: int
    resamples: int
    seed: int
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    runs: list[RunJudgement]


def judge(
    model: Detector,
    contract: Contract,
    calibration: Calibration,
    runs: Sequence[Run],
    budget_per_hour: float,
    *,
    states: States | None = None,
) -> Judgement:
    """Score and decide every test run; a run without labels counts as normal throughout."""
    scored = score_runs(model, contract, runs)
    decided = decide(scored, contract, calibration, budget_per_hour, states)
    judgement = judge_decided(decided, contract, calibration, budget_per_hour)
    if not isinstance(model, Classifier):
        return judgement
    return msgspec.structs.replace(judgement, metrics=judgement.metrics | class_metrics(model, scored))


def judge_decided(
    decided: Sequence[DecidedRun],
    contract: Contract,
    calibration: Calibration,
    budget_per_hour: float,
    plan: blocks.Plan | None = None,
) -> Judgement:
    """Judge what was decided; `plan` is how to bootstrap, None for blocks that fit these runs."""
    runs = [judge_run(each.scored.run, each.scored.windows, each.raised_ns, contract) for each in decided]
    sample = pool(decided, contract)
    plan = plan or plan_for(decided, contract)
    buffer = min(_overlap(contract), _LONGEST_BUFFER)
    change_ns = max(skab.WINDOW_NS, contract.window * contract.period_ns)
    metrics = {"windows": float(len(sample.score))} | _window_metrics(sample)
    metrics |= _stretch_metrics(decided, buffer, change_ns) | alarm_metrics(runs)
    values = blocks.resample(sample, [len(each.flagged) for each in decided], plan)
    threshold = score_at_budget(calibration, budget_per_hour)
    return Judgement(
        protocol=PROTOCOL,
        false_alarm_budget_per_hour=budget_per_hour,
        threshold=threshold if math.isfinite(threshold) else None,
        vus_buffer_windows=buffer,
        changepoint_window_s=change_ns / NANOSECONDS,
        block_windows=plan.block_windows,
        resamples=plan.resamples,
        seed=plan.seed,
        metrics=metrics,
        intervals={name: each for name, each in blocks.intervals(values).items() if name in metrics},
        runs=runs,
    )


def plan_for(decided: Sequence[DecidedRun], contract: Contract) -> blocks.Plan:
    """Blocks that fit these runs."""
    return blocks.Plan(blocks.block_length([each.scored.anomalous for each in decided], _overlap(contract)))


def pool(decided: Sequence[DecidedRun], contract: Contract) -> Sample:
    """All windows in one sample; an event is counted at the first window that can see it."""
    parts = [_events_and_false_alarms(each, contract) for each in decided]
    false_alarms, events, found = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Sample(
        score=np.concatenate([each.scored.score for each in decided]).astype(np.float64),
        anomalous=np.concatenate([each.scored.anomalous for each in decided]),
        flagged=np.concatenate([each.flagged for each in decided]),
        false_alarms=false_alarms,
        events=events,
        events_found=found,
        hours=contract.hop * contract.period_ns / _NS_PER_HOUR,
    )


def _events_and_false_alarms(decided: DecidedRun, contract: Contract) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts [windows]: false alarms raised, anomalous stretches that begin, and those of them that were found."""
    end_ns = decided.scored.windows.end_ns
    false_alarms, events, found = (np.zeros(len(end_ns)) for _ in range(3))
    if len(end_ns) == 0:
        return false_alarms, events, found
    np.add.at(false_alarms, np.searchsorted(end_ns, np.array(decided.raised_ns, np.int64)), 1.0)
    for within, first_ns in detections(decided.scored.run, decided.raised_ns, contract):
        np.add.at(false_alarms, np.searchsorted(end_ns, np.array(within, np.int64)), -1.0)
        begins = min(int(np.searchsorted(end_ns, first_ns, side="right")), len(end_ns) - 1)
        events[begins] += 1.0
        found[begins] += bool(within)
    return false_alarms, events, found


def _window_metrics(sample: Sample) -> dict[str, float]:
    measured = measure(sample, np.ones((1, len(sample.score))))
    counted = {
        name: float(value[0])
        for name, value in measured.items()
        if name not in ("event_recall", "false_alarms_per_day")
    }
    return {name: value for name, value in counted.items() if not math.isnan(value)}


def _stretch_metrics(decided: Sequence[DecidedRun], buffer: int, change_ns: int) -> dict[str, float]:
    """VUS, SKAB's changepoint score and NAB's, where there are anomalous windows and normal ones."""
    labels = [each.scored.anomalous for each in decided]
    if not 0 < sum(int(each.sum()) for each in labels) < sum(map(len, labels)):
        return {}
    volumes = vus.volumes([(each.scored.score, each.scored.anomalous) for each in decided], buffer)
    flagged = [
        skab.FlaggedRun(each.scored.windows.end_ns, label, skab.edges(label), each.flagged)
        for each, label in zip(decided, labels, strict=True)
    ]
    series = [
        nab.ScoredSeries(each.flagged.astype(np.float64), _events(label), begin=0)
        for each, label in zip(decided, labels, strict=True)
    ]
    changes = {f"changepoint_{name}": value for name, value in skab.changepoint_scores(flagged, change_ns).items()}
    early = {f"nab_{name}": nab.score(series, 1.0, name) for name in nab.PROFILES}
    return {"vus_roc": volumes.roc, "vus_pr": volumes.pr} | changes | early


def _events(anomalous: BoolArray) -> list[tuple[int, int]]:
    first, last = stretches(anomalous)
    return list(zip(first.tolist(), last.tolist(), strict=True))


def _overlap(contract: Contract) -> int:
    """How many windows share cells with one."""
    return -(-contract.window // contract.hop)

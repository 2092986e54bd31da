"""Alarms as the daemon would raise them on a run, and what they are worth: false ones, and how late the true ones are."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from agent.decide.alarm import MODEL
from agent.decide.calibration import Lasting
from agent.decide.explanation import unexplained
from agent.decide.isa18 import Behaviour
from agent.decide.lasting import Evidence, Likelihood
from agent.decide.machine_alarms import MachineAlarms
from agent.decide.point import AlarmPoint, PointRules
from agent.types import NANOSECONDS, Float32Array, Int64Array, TimeQuality, Verdict, Window
from agent.window.contract import Contract
from export.data import Run
from export.judge.stretches import stretches
from export.rows import BoolArray
from export.windows import Windows

_CLEAR_FACTOR = 10.0  # as the agent's configuration has it by default
_NS_PER_HOUR = 3_600 * NANOSECONDS
_UNEXPLAINED = np.empty(0, np.float32)  # the decision to raise does not look at channels


class RunJudgement(msgspec.Struct, frozen=True, kw_only=True):
    """One test run. `delays_s` has a number for each anomalous stretch, null where no alarm was raised in it."""

    run: str
    windows: int
    unknown: int
    normal_hours: float
    false_alarms: int
    delays_s: list[float | None]


def raised_ns(
    windows: Windows,
    score: Float32Array,
    likely: Sequence[Likelihood],
    contract: Contract,
    *,
    lasting: Lasting | None,
    budget_per_hour: float,
) -> list[int]:
    """Event times at which the daemon would raise an alarm; score and likelihoods [n]."""
    hop_ns, length_ns = contract.hop * contract.period_ns, contract.window * contract.period_ns
    rules = PointRules(
        machine=windows.run,
        point=MODEL,
        priority="high",
        on_delay_ns=0,
        off_delay_ns=0,
        hop_ns=hop_ns,
        behaviour=Behaviour(acknowledge=False),
        budget_per_hour=budget_per_hour,
    )
    evidence = None if lasting is None else Evidence(lasting, budget_per_hour / 2, hop_ns)
    alarms, raised = MachineAlarms(AlarmPoint(rules), _CLEAR_FACTOR, evidence), []
    for index, end_ns in enumerate(windows.end_ns.tolist()):
        window = Window(windows.run, end_ns - length_ns, end_ns, windows.values[index], None, TimeQuality.DEVICE)
        verdict = Verdict(window, float(score[index]), _UNEXPLAINED, None)
        changes = alarms.judge(verdict, likely[index], unexplained)
        raised += [end_ns for change in changes if change.event is not None and change.event.type == "new"]
    return raised


def judge_run(run: Run, windows: Windows, raised: Sequence[int], contract: Contract) -> RunJudgement:
    """Count the alarms raised at `raised` (event times) against the run's labels."""
    found = detections(run, raised, contract)
    normal = len(windows) if windows.anomalous is None else int((~windows.anomalous).sum())
    return RunJudgement(
        run=run.name,
        windows=len(windows),
        unknown=windows.unknown,
        normal_hours=normal * contract.hop * contract.period_ns / _NS_PER_HOUR,
        false_alarms=len(raised) - sum(len(within) for within, _ in found),
        delays_s=[(within[0] - first) / NANOSECONDS if within else None for within, first in found],
    )


def detections(run: Run, raised: Sequence[int], contract: Contract) -> list[tuple[list[int], int]]:
    """For each anomalous stretch the alarms raised in it, and the time of its first row."""
    if run.anomalous is None:
        return []
    # A cell ends one period after its row: the alarm that sees a row first is raised then.
    period_ns = contract.period_ns
    events = anomalous_stretches(run.t_ns, run.anomalous)
    return [([at for at in raised if first < at <= last + period_ns], first) for first, last in events]


def anomalous_stretches(t_ns: Int64Array, anomalous: BoolArray) -> list[tuple[int, int]]:
    """Times of the first and the last row of every unbroken stretch of anomalous rows, in order of time."""
    order = np.argsort(t_ns, kind="stable")
    t_ns = t_ns[order]
    return [(int(t_ns[first]), int(t_ns[last])) for first, last in zip(*stretches(anomalous[order]), strict=True)]


def alarm_metrics(runs: Sequence[RunJudgement]) -> dict[str, float]:
    """All runs together; what the labels cannot tell is left out."""
    days = sum(run.normal_hours for run in runs) / 24
    delays = [delay for run in runs for delay in run.delays_s]
    detected = [delay for delay in delays if delay is not None]
    found = {"false_alarms": float(sum(run.false_alarms for run in runs)), "normal_days": days}
    if days > 0:
        found["false_alarms_per_day"] = found["false_alarms"] / days
    if delays:
        found["anomalies"], found["anomalies_detected"] = float(len(delays)), float(len(detected))
        found["event_recall"] = len(detected) / len(delays)
    if detected:
        found["median_delay_s"] = float(np.median(detected))
    return found

"""Test runs as the model sees them: their windows, and the score and channel scores of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent.decide import by_state
from agent.decide.calibration import Calibration, exceedances_per_hour
from agent.decide.lasting import Likelihood, likelihoods
from agent.errors import ConfigError, Problem
from agent.infer.manifest import States
from agent.types import Float32Array
from agent.window.contract import Contract
from export.calibrate import states_of
from export.data import Run
from export.judge.alarms import raised_ns
from export.models.detector import Detector
from export.rows import BoolArray
from export.train import run_model
from export.windows import Windows, cut


@dataclass(frozen=True, slots=True, eq=False)
class ScoredRun:
    """One run with its known windows and what the model gave for them: score [n], channel_score [n, channels]."""

    run: Run
    windows: Windows
    score: Float32Array
    channel_score: Float32Array

    @property
    def anomalous(self) -> BoolArray:
        """Labels [n]; a run without any is normal throughout."""
        found = self.windows.anomalous
        return np.zeros(len(self.score), np.bool_) if found is None else found

    def only(self, chosen: BoolArray) -> ScoredRun:
        """The windows where `chosen` [n] holds; the others are as if they had never been cut."""
        windows = self.windows
        labels = None if windows.labels is None else windows.labels[chosen]
        kept = replace(windows, values=windows.values[chosen], end_ns=windows.end_ns[chosen], labels=labels)
        return ScoredRun(self.run, kept, self.score[chosen], self.channel_score[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class DecidedRun:
    """A scored run and what the calibration and the budget make of it: `flagged` [n], and the event times of alarms raised."""

    scored: ScoredRun
    flagged: BoolArray
    raised_ns: list[int]


def score_runs(model: Detector, contract: Contract, runs: Sequence[Run]) -> list[ScoredRun]:
    """Cut and score every run; raises ConfigError where no window at all is known."""
    windows = [cut(run, contract) for run in runs]
    if not any(len(part) for part in windows):
        what = f"no window of {contract.window} cells is known in {', '.join(run.name for run in runs[:5])}"
        raise ConfigError([Problem("test runs", what, "give longer runs, or close the gaps in them (hold_cells)")])
    return [ScoredRun(run, part, *run_model(model, part.values)) for run, part in zip(runs, windows, strict=True)]


def decide(
    scored: Sequence[ScoredRun],
    contract: Contract,
    calibration: Calibration,
    budget_per_hour: float,
    states: States | None = None,
) -> list[DecidedRun]:
    """The daemon's decisions: flagged where normal operation would score so high no more often than a window's budget allows."""
    decided = []
    for run in scored:
        likely = _likely(run, calibration, states)
        alarms = raised_ns(
            run.windows,
            run.score,
            likely,
            contract,
            lasting=calibration.lasting,
            budget_per_hour=budget_per_hour,
        )
        flagged = np.array([each.per_hour for each in likely]) <= window_budget(calibration, budget_per_hour)
        decided.append(DecidedRun(run, flagged, alarms))
    return decided


def window_budget(calibration: Calibration, budget_per_hour: float) -> float:
    """What a single window may use of the budget: half of it where lasting evidence has the other half."""
    return budget_per_hour if calibration.lasting is None else budget_per_hour / 2


def _likely(run: ScoredRun, calibration: Calibration, states: States | None) -> list[Likelihood]:
    if states is None:
        return likelihoods(calibration, run.score)
    known = states_of(run.windows.values, states.known)
    return by_state.likelihoods(run.score, known, calibration, states.calibrations)


def score_at_budget(calibration: Calibration, budget_per_hour: float) -> float:
    """The lowest score that is flagged: the threshold that the budget comes to; inf where no score is strange enough."""
    budget_per_hour = window_budget(calibration, budget_per_hour)
    low, high = float(np.finfo(np.float32).min), float(np.finfo(np.float32).max)
    if not exceedances_per_hour(calibration, high) <= budget_per_hour:
        return float("inf")
    for _ in range(200):
        middle = low / 2 + high / 2
        if middle in (low, high):
            break
        if exceedances_per_hour(calibration, middle) <= budget_per_hour:
            high = middle
        else:
            low = middle
    return high

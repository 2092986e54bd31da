"""Several models on the same windows of the same test data, and by how much each differs from the first.

The bootstrap draws the same blocks for all, so that the interval is of the difference itself: what is hard for every model cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import msgspec
import numpy as np

from agent.errors import ConfigError, Problem
from agent.types import Int64Array
from export.judge import blocks
from export.judge.judgement import Judgement, judge_decided, plan_for, pool
from export.judge.opening import Candidate
from export.judge.scoring import DecidedRun, ScoredRun, decide, score_runs


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A metric less that of the first model, with its 95 % interval, null where the bootstrap does not reach."""

    value: float
    interval: tuple[float, float] | None


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One model: its judgement on the common windows, and its differences to the first model, none for the first itself."""

    run: str
    family: str
    judgement: Judgement
    differences: dict[str, Difference]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All models by one protocol on `windows` common windows of the test runs."""

    protocol: str
    data_sha256: str
    windows: int
    models: list[Compared]


def compare(candidates: Sequence[Candidate], budget_per_hour: float) -> Comparison:
    """Judge every candidate on the windows that all of them have.

    Windows end on one grid whatever their length, so that those of the longest are common to all. Raises ConfigError where the models
    were not trained on the same data, rate, channels and hop.
    """
    _check_alike(candidates)
    scored = _on_common_windows(candidates)
    decided = [
        decide(
            runs,
            each.run.record.contract,
            each.run.record.calibration,
            budget_per_hour,
            each.run.record.states,
        )
        for each, runs in zip(candidates, scored, strict=True)
    ]
    plans = [plan_for(runs, each.run.record.contract) for each, runs in zip(candidates, decided, strict=True)]
    plan = max(plans, key=lambda each: each.block_windows)
    models = _judged(candidates, decided, plan, budget_per_hour)
    return Comparison(
        protocol=models[0].judgement.protocol,
        data_sha256=candidates[0].run.record.data_sha256,
        windows=int(models[0].judgement.metrics["windows"]),
        models=models,
    )


def _judged(
    candidates: Sequence[Candidate], decided: Sequence[Sequence[DecidedRun]], plan: blocks.Plan, budget_per_hour: float
) -> list[Compared]:
    models: list[Compared] = []
    first: dict[str, np.ndarray] = {}
    for candidate, runs in zip(candidates, decided, strict=True):
        record = candidate.run.record
        judgement = judge_decided(runs, record.contract, record.calibration, budget_per_hour, plan)
        values = blocks.resample(pool(runs, record.contract), [len(each.flagged) for each in runs], plan)
        first = first or values
        between = blocks.intervals({name: value - first[name] for name, value in values.items()})
        shared = judgement.metrics.keys() & models[0].judgement.metrics.keys() if models else set()
        differences = {
            name: Difference(value=value - models[0].judgement.metrics[name], interval=between.get(name))
            for name, value in judgement.metrics.items()
            if name in shared and name not in ("windows", "normal_days", "anomalies")
        }
        models.append(
            Compared(run=str(candidate.folder), family=record.family, judgement=judgement, differences=differences)
        )
    return models


def _check_alike(candidates: Sequence[Candidate]) -> None:
    first, *others = (each.run.record for each in candidates)
    for candidate, record in zip(candidates[1:], others, strict=True):
        where = str(candidate.folder)
        if record.data_sha256 != first.data_sha256:
            remedy = "only models of the same data can be compared"
            raise ConfigError([Problem(where, f"was not trained on the data of {candidates[0].folder}", remedy)])
        if msgspec.structs.replace(record.contract, window=0) != msgspec.structs.replace(first.contract, window=0):
            remedy = "train both with the same data set file and the same --hop"
            raise ConfigError(
                [Problem(where, f"has another grid, or other channels, than {candidates[0].folder}", remedy)]
            )


def _on_common_windows(candidates: Sequence[Candidate]) -> list[list[ScoredRun]]:
    scored = [score_runs(each.run.model, each.run.record.contract, each.tests) for each in candidates]
    common = [_shared([each.windows.end_ns for each in versions]) for versions in zip(*scored, strict=True)]
    return [
        [each.only(np.isin(each.windows.end_ns, ends)) for each, ends in zip(runs, common, strict=True)]
        for runs in scored
    ]


def _shared(ends: Sequence[Int64Array]) -> Int64Array:
    return reduce(np.intersect1d, ends)

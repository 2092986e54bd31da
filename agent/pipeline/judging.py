"""Judging: each window gets its score, together with all others of the same model, and how likely that is where all is normal."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from agent.decide.lasting import Likelihood
from agent.decide.yardstick import cautious
from agent.errors import InferenceError
from agent.infer.scorer import Scorer
from agent.metrics import Counters
from agent.pipeline.machine import Machine
from agent.types import Float32Array, Verdict, Window

log = logging.getLogger(__name__)

# Bounds the memory of one model run when a backlog arrives at once: 256 windows of 8 x 256 samples are 2 MiB.
MAX_WINDOWS_PER_RUN = 256


def judged(
    windows: Iterable[tuple[Machine, Window]], counters: Counters
) -> Iterator[tuple[Machine, Verdict, Likelihood]]:
    """Windows of all machines that share a model go through it together; verdicts come back in their order.

    counters: windows_scored, windows_unknown, inference_errors.
    """
    by_scorer: defaultdict[int, list[tuple[Machine, Window]]] = defaultdict(list)
    for machine, window in windows:
        by_scorer[id(machine.scorer)].append((machine, window))
    for group in by_scorer.values():
        scorer = group[0][0].scorer
        for start in range(0, len(group), MAX_WINDOWS_PER_RUN):
            part = group[start : start + MAX_WINDOWS_PER_RUN]
            verdicts = _score(scorer, part, counters)
            likely = _likelihoods([machine for machine, _ in part], verdicts)
            for (machine, _), verdict, likelihood in zip(part, verdicts, likely, strict=True):
                yield machine, verdict, likelihood


def _score(scorer: Scorer, windows: Sequence[tuple[Machine, Window]], counters: Counters) -> list[Verdict]:
    known = [machine.yardstick.model_input(window.values) for machine, window in windows if window.unknown is None]
    scores: Iterator[tuple[float, Float32Array]] = iter(())
    failure = None
    if known:
        try:
            score, channel_score = scorer.score(np.stack(known))
            scores = zip(score.tolist(), channel_score, strict=True)
        except InferenceError as error:
            failure = str(error)
            counters.add("inference_errors")
            log.error("%d windows stay unknown: %s", len(known), error)
    verdicts = []
    for _, window in windows:
        unknown = window.unknown or failure
        verdicts.append(_unknown(window, unknown) if unknown else _verdict(window, *next(scores)))
    scored = sum(verdict.unknown is None for verdict in verdicts)
    counters.add("windows_scored", scored)
    counters.add("windows_unknown", len(verdicts) - scored)
    return verdicts


def _likelihoods(machines: Sequence[Machine], verdicts: Sequence[Verdict]) -> list[Likelihood]:
    """Each by what its own machine calls normal in its state; those that share that are taken together."""
    held_against = [
        machine.yardstick.calibrations_of(verdict.window.values)
        if verdict.unknown is None
        else (machine.yardstick.overall,)
        for machine, verdict in zip(machines, verdicts, strict=True)
    ]
    alike: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, calibrations in enumerate(held_against):
        alike[tuple(map(id, calibrations))].append(index)
    found: dict[int, Likelihood] = {}
    for indexes in alike.values():
        scores = [verdicts[index].score - machines[index].yardstick.shift for index in indexes]
        found.update(zip(indexes, cautious(held_against[indexes[0]], scores), strict=True))
    return [found[index] for index in range(len(verdicts))]


def _verdict(window: Window, score: float, channel_score: Float32Array) -> Verdict:
    unknown = None if math.isfinite(score) else "the model gave no finite score"
    return Verdict(window, score, channel_score, unknown)


def _unknown(window: Window, reason: str) -> Verdict:
    return Verdict(window, float("nan"), np.empty(0, np.float32), reason)

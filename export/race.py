"""Forms of a model timed against each other in turns, so that what else the machine does burdens all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

import onnxruntime as ort

from agent.types import Float32Array

_ROUNDS = 21
_ROUND_S = 0.03
_LEAST_RUNS = 3


@dataclass(frozen=True, slots=True)
class Timing:
    """Median milliseconds of one run, and the median over the rounds of how many times as fast as the first form it was in the same round."""

    run_ms: float
    speed: float


def race(
    sessions: Mapping[str, ort.InferenceSession], windows: Float32Array, rounds: int = _ROUNDS
) -> dict[str, Timing]:
    """Time every session on `windows` float32 [batch, channels, time]; the first is what the others are held against.

    Each round begins with another form, after one round to warm up.
    """
    names = list(sessions)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-1, rounds):
        turned = names[number % len(names) :] + names[: number % len(names)]
        for name in turned:
            seconds = _seconds_a_run(sessions[name], windows)
            if number >= 0:
                taken[name].append(seconds)
    first = taken[names[0]]
    return {
        name: Timing(
            1e3 * statistics.median(seconds),
            statistics.median(bare / ours for bare, ours in zip(first, seconds, strict=True)),
        )
        for name, seconds in taken.items()
    }


def _seconds_a_run(session: ort.InferenceSession, windows: Float32Array) -> float:
    begin, runs = time.perf_counter(), 0
    while True:
        session.run(None, {"window": windows})
        runs += 1
        spent = time.perf_counter() - begin
        if spent >= _ROUND_S and runs >= _LEAST_RUNS:
            return spent / runs

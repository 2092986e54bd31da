"""Whether two forms of a model decide alike, and whether a variant keeps what its bundle promises of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.decide import by_state
from agent.decide.calibration import Calibration, exceedances_per_hour
from agent.decide.states import by_level
from agent.errors import BundleError
from agent.infer.certificate import Variant
from agent.infer.golden import GoldenVectors
from agent.infer.manifest import Golden, Manifest, States
from agent.types import Float32Array

BoolArray = npt.NDArray[np.bool_]
Float64Array = npt.NDArray[np.float64]
FP32 = "fp32"
_OUTPUTS = ("score", "channel_score")


@dataclass(frozen=True, slots=True)
class Judge:
    """What scores are decided by: the model's calibration, and those of its operating states where it has any."""

    calibration: Calibration
    states: States | None = None


def preferred(variants: Mapping[str, Variant], provider: str) -> str:
    """The form that was measured to be the fastest on `provider`, "fp32" where no variant was faster there."""
    speeds = {name: variant.speed[provider] for name, variant in variants.items() if provider in variant.speed}
    best = max(speeds, key=lambda name: (speeds[name], name), default=FP32)
    return best if speeds.get(best, 0.0) > 1 else FP32


def worst_miss(golden: GoldenVectors, found: tuple[Float32Array, Float32Array], limits: Golden | Variant) -> str | None:
    """Which value of `found`, score [n] and channel_score [n, channels], misses what `golden` promises by most, in words.

    It is of the first output that has any outside of the tolerances of `limits`; None where neither has.
    """
    for output, got, promised in zip(_OUTPUTS, found, (golden.score, golden.channel_score), strict=True):
        allowed = limits.absolute_tolerance + limits.relative_tolerance * np.abs(promised)
        excess = np.nan_to_num(np.abs(got - promised) / allowed, nan=np.inf)
        worst = np.unravel_index(int(excess.argmax()), excess.shape)
        if excess[worst] > 1:
            where = f"{output}{[int(i) for i in worst]}"
            return f"{where} is {got[worst]:g}, promised {promised[worst]:g} ± {allowed[worst]:.2g}"
    return None


def check_golden(
    manifest: Manifest, golden: GoldenVectors, name: str, found: tuple[Float32Array, Float32Array], provider: str
) -> None:
    """Raise BundleError unless variant `name` kept its promises on this machine.

    `found` is score [n] and channel_score [n, channels] that it gave for `golden.windows` on `provider`. They must be within the variant's
    tolerances of golden.npz, and flag the same windows at each of its budgets.
    """
    variant = manifest.variants[name]
    if miss := worst_miss(golden, found, variant):
        raise BundleError(f"{name} misses its golden vectors on {provider}: {miss}; fp32 runs in its place")
    judge = Judge(manifest.calibration, manifest.states)
    differing = differing_windows(judge, golden.windows, (golden.score, found[0]), variant.budgets_per_hour)
    if differing.any():
        budget, index = (int(each[0]) for each in np.nonzero(differing))
        raise BundleError(
            f"{name} decides golden window {index} otherwise on {provider}: score {found[0][index]:g}, promised "
            f"{golden.score[index]:g}, at {variant.budgets_per_hour[budget]:.3g} false alarms an hour; fp32 runs in its place"
        )


def differing_windows(
    judge: Judge,
    windows: Float32Array,
    scores: tuple[Float32Array, Float32Array],
    budgets_per_hour: Sequence[float],
) -> BoolArray:
    """Which of `windows` [n, channels, time] two score arrays [n] decide differently, bool [budgets, n].

    A score that is no finite number decides nothing, which is another decision than any.
    """
    states = _states(judge, windows)
    ours, theirs = (_flagged(judge, states, score, budgets_per_hour) for score in scores)
    unknown = ~(np.isfinite(scores[0]) & np.isfinite(scores[1]))
    found: BoolArray = (ours != theirs) | unknown
    return found


def flagged(judge: Judge, windows: Float32Array, score: Float32Array, budgets_per_hour: Sequence[float]) -> BoolArray:
    """Whether normal operation would score so high no more often than a window's part of each budget, bool [budgets, n].

    A model with operating states judges each window in its own. Lasting evidence has the other half of a budget where there is any.
    """
    return _flagged(judge, _states(judge, windows), score, budgets_per_hour)


def _flagged(
    judge: Judge, states: by_state.States | None, score: Float32Array, budgets_per_hour: Sequence[float]
) -> BoolArray:
    parts = np.array(budgets_per_hour) / (1 if judge.calibration.lasting is None else 2)
    found: BoolArray = _exceedances_per_hour(judge, states, score) <= parts[:, None]
    return found


def _exceedances_per_hour(judge: Judge, states: by_state.States | None, score: Float32Array) -> Float64Array:
    if judge.states is None or states is None:
        return exceedances_per_hour(judge.calibration, score)
    likely = by_state.likelihoods(score, states, judge.calibration, judge.states.calibrations)
    return np.array([each.per_hour for each in likely], np.float64)


def _states(judge: Judge, windows: Float32Array) -> by_state.States | None:
    """The operating state of each window [n], None where it is in none; None in all where the model knows of none."""
    if judge.states is None:
        return None
    state_of = by_level(judge.states.known)
    return np.array([*(state_of(window) for window in windows), None], object)[:-1]  # lest numpy makes it text

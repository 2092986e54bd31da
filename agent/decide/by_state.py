"""A calibration for each operating state that there is enough data of; the others share one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from agent.decide import peaks
from agent.decide.calibration import Calibration
from agent.decide.lasting import Likelihood
from agent.decide.peaks import ENOUGH_CLUSTERS, ScoredRun
from agent.decide.yardstick import cautious

States = npt.NDArray[np.object_]  # of each window of a run its state, None where it is in none


@dataclass(frozen=True, slots=True)
class ByState:
    """`overall` is of all windows together, but for its lasting part, which is of every window judged in its own state."""

    overall: Calibration
    calibrations: Mapping[str, Calibration]
    seen: tuple[str, ...]  # with as many windows at least as any calibration needs
    remarks: tuple[str, ...]


def fit(runs: Sequence[ScoredRun], states: Sequence[States], window_ns: int, hop_ns: int) -> ByState:
    """Fit to normal runs with the state of each of their windows; raises ValueError for too little data in all.

    Rates are an hour of a state's own time: where each state keeps a budget, the whole does.
    """
    overall = peaks.fit(runs, window_ns, hop_ns)
    calibrations: dict[str, Calibration] = {}
    seen, remarks = [], []
    for name in sorted({str(state) for run in states for state in run if state is not None}):
        parts = [(score[of == name], end_ns[of == name]) for (score, end_ns), of in zip(runs, states, strict=True)]
        windows = sum(len(score) for score, _ in parts)
        if windows >= peaks.MIN_WINDOWS:
            seen.append(name)
        own = _own([part for part in parts if len(part[0])], window_ns, hop_ns)
        if own is None:
            remarks.append(
                f"state '{name}': {windows} windows are too few for a calibration of its own; it shares the overall one"
            )
        else:
            calibrations[name] = own
    outside = sum(int((run == None).sum()) for run in states)  # noqa: E711 - elementwise
    if outside:
        total = sum(len(run) for run in states)
        remarks.append(f"{outside} of {total} windows are in no state, or between two")
    if calibrations:
        likely = [likelihoods(score, of, overall, calibrations) for (score, _), of in zip(runs, states, strict=True)]
        normal = [np.array([each.normal_score for each in run]) for run in likely]
        overall = msgspec.structs.replace(overall, lasting=peaks.lasting(normal, overall.hours))
    return ByState(overall, calibrations, tuple(seen), tuple(remarks))


def _own(runs: Sequence[ScoredRun], window_ns: int, hop_ns: int) -> Calibration | None:
    try:
        found = peaks.fit(runs, window_ns, hop_ns)
    except ValueError:  # too few windows, or all alike
        return None
    return msgspec.structs.replace(found, lasting=None) if found.clusters >= ENOUGH_CLUSTERS else None


def likelihoods(
    score: npt.ArrayLike, states: States, overall: Calibration, calibrations: Mapping[str, Calibration]
) -> list[Likelihood]:
    """Of scores [n] in their states [n], as the agent judges them."""
    scores = np.asarray(score)
    found = [Likelihood(float("nan"), float("nan"))] * len(scores)
    for state in set(states.tolist()):
        chosen = np.flatnonzero([each == state for each in states])
        by = (overall, *calibrations.values()) if state is None else (calibrations.get(state, overall),)
        for index, likelihood in zip(chosen, cautious(by, scores[chosen]), strict=True):
            found[index] = likelihood
    return found

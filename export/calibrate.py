"""Calibrate a model on held-out normal operation, and say in plain words what the data behind that can and cannot support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.decide import by_state, peaks
from agent.decide.calibration import Calibration
from agent.decide.states import OperatingStates, by_level
from agent.decide.support import rarest_words, support
from agent.errors import ConfigError, Problem
from agent.infer.manifest import States
from agent.quantities import parse_rate_per_hour
from agent.types import Float32Array
from agent.window.contract import Contract

# What a machine's `false_alarms` is unless somebody writes another.
USUAL_BUDGET = "1 per month"


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The calibration, and in plain words what the data behind it can and cannot support."""

    calibration: Calibration
    remarks: tuple[str, ...]
    states: States | None = None


def fit(runs: Sequence[peaks.ScoredRun], contract: Contract, budget: str = USUAL_BUDGET) -> Calibrated:
    """Fit to (score [n], end_ns [n]) of each held-out normal run; `budget` is what the remarks judge the data by.

    Raises ConfigError for too little data, ValueError where `budget` is no rate.
    """
    period_ns = contract.period_ns
    try:
        calibration = peaks.fit(runs, contract.window * period_ns, contract.hop * period_ns)
    except ValueError as error:
        remedy = f'give a run with role = "calibrate" of at least {peaks.MIN_WINDOWS} windows of normal operation'
        raise ConfigError([Problem("data set", str(error), remedy)]) from error
    return Calibrated(calibration, _remarks(calibration, budget))


def fit_by_state(
    runs: Sequence[peaks.ScoredRun],
    values: Sequence[Float32Array],
    known: OperatingStates,
    contract: Contract,
    budget: str = USUAL_BUDGET,
) -> Calibrated:
    """The same for each operating state by itself where there is enough data of it; `values` are the runs' windows [n, channels, time]."""
    plain = fit(runs, contract, budget)  # says what is missing where there is too little in all
    period_ns = contract.period_ns
    states = [states_of(each, known) for each in values]
    fitted = by_state.fit(runs, states, contract.window * period_ns, contract.hop * period_ns)
    found = States(known=known, calibrations=dict(fitted.calibrations))
    count = f"{len(known.states)} operating states were found in training, {len(fitted.calibrations)} have a calibration of their own"
    return Calibrated(fitted.overall, (*plain.remarks, count, *fitted.remarks), found)


def states_of(values: Float32Array, known: OperatingStates) -> by_state.States:
    """The state of each window [n, channels, time], None where it is in none."""
    find = by_level(known)
    return np.array([*(find(window) for window in values), None], object)[
        :-1
    ]  # None at the end, lest numpy makes it text


def _remarks(calibration: Calibration, budget: str) -> tuple[str, ...]:
    basis = (
        f"calibrated on {calibration.hours:.3g} h of normal operation with {calibration.clusters} separate excursions"
    )
    told = support(calibration, parse_rate_per_hour(budget))
    reach = f"{told.words(budget)}; the rarest budget that they support is '{rarest_words(calibration)}'"
    if calibration.clusters >= peaks.ENOUGH_CLUSTERS:
        return basis, reach
    doubt = (
        f"{calibration.clusters} excursions are too few to fit the shape of the tail ({peaks.ENOUGH_CLUSTERS} would do): an "
        "exponential tail is assumed; calibrate on more normal operation before relying on rare budgets"
    )
    return basis, reach, doubt

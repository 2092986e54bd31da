"""Every form of a model held against PyTorch, on every execution provider that is here: errors, decisions and time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch

from agent.infer.agreement import Judge, differing_windows
from agent.infer.certificate import Budget, Comparison, Errors, Form, OnSet, Spread
from agent.infer.opening import open_session
from agent.infer.providers import CPU, CUDA
from agent.infer.settings import InferenceSettings
from agent.infer.tuned import hardware_of
from agent.quantities import parse_rate_per_hour
from agent.types import Float32Array
from export import parity
from export.judge.scoring import score_at_budget
from export.models.detector import Detector
from export.race import Timing, race
from export.to_onnx import outputs
from export.trial_windows import Trial

# From what an operator of a test rig would allow to what nobody's data support.
BUDGETS = ("1 per day", "1 per week", "1 per month", "1 per year")
_PART = 256  # windows in one run
_LARGEST = float(np.finfo(np.float32).max)

Outputs = tuple[Float32Array, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """What forms are compared by: the PyTorch model, the windows with its outputs on each set, how scores are judged, windows a run."""

    model: Detector
    trial: Trial
    promised: Mapping[str, Outputs]
    judge: Judge
    batch: int

    @staticmethod
    def of(model: Detector, trial: Trial, judge: Judge, batch: int) -> Contest:
        """Run PyTorch on every set."""
        promised = {name: parity.run_torch(model, each.values) for name, each in trial.sets.items()}
        return Contest(model, trial, promised, judge, batch)


def per_hour() -> list[float]:
    """BUDGETS as rates."""
    return [parse_rate_per_hour(words) for words in BUDGETS]


def budgets(judge: Judge) -> list[Budget]:
    """BUDGETS for a certificate, with the lowest score that each flags in no operating state of its own."""
    thresholds = [score_at_budget(judge.calibration, rate) for rate in per_hour()]
    return [
        Budget(words=words, per_hour=rate, threshold=threshold if math.isfinite(threshold) else None)
        for words, rate, threshold in zip(BUDGETS, per_hour(), thresholds, strict=True)
    ]


def sessions_here(forms: Mapping[str, bytes]) -> dict[str, dict[str, ort.InferenceSession]]:
    """A session of each of `forms` by provider: the CPU with one thread, and CUDA where it answers."""
    found = {CPU: {name: open_session(model, [CPU], 1, {}) for name, model in forms.items()}}
    if CUDA in ort.get_available_providers():
        on_gpu = {name: open_session(model, [CUDA, CPU], 1, {}) for name, model in forms.items()}
        if all(session.get_providers()[0] == CUDA for session in on_gpu.values()):
            found[CUDA] = on_gpu
    return found


def compare(contest: Contest, sessions: Mapping[str, ort.InferenceSession], provider: str) -> dict[str, Comparison]:
    """Each of `sessions`, of which fp32's is the first, by its name, see `form_of`."""
    values = next(iter(contest.trial.sets.values())).values
    timings = race(sessions, np.resize(values, (contest.batch, *values.shape[1:])))
    return {
        name: _compared(contest, session, timings[name], form_of(name), provider) for name, session in sessions.items()
    }


def run(session: ort.InferenceSession, names: Sequence[str], windows: Float32Array) -> Outputs:
    """The outputs `names` for `windows` [n, channels, time], a part after the other."""
    parts = [
        session.run(list(names), {"window": windows[start : start + _PART]}) for start in range(0, len(windows), _PART)
    ]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def form_of(name: str) -> Form:
    """Of a graph's name: a form, and behind a blank which of its candidates."""
    return cast("Form", name.split(maxsplit=1)[0])


def machine_and_versions() -> tuple[str, dict[str, str]]:
    """The processor, with the GPU where CUDA may run, and the versions of what computed the outputs."""
    hardware = hardware_of(InferenceSettings(device="cuda" if CUDA in ort.get_available_providers() else "cpu"))
    driver = {"driver": hardware.driver} if hardware.driver else {}
    versions = {"torch": str(torch.__version__), "onnxruntime": ort.__version__, "numpy": np.__version__, **driver}
    return hardware.processor + (f", {hardware.gpu}" if hardware.gpu else ""), versions


def _compared(contest: Contest, session: ort.InferenceSession, timing: Timing, form: Form, provider: str) -> Comparison:
    names = outputs(contest.model)
    sets = {}
    for name, tried in contest.trial.sets.items():
        found, promised = run(session, names, tried.values), contest.promised[name]
        differing = differing_windows(contest.judge, tried.values, (promised[0], found[0]), per_hour())
        errors = {
            output: _errors(output, got, wanted) for output, got, wanted in zip(names, found, promised, strict=True)
        }
        sets[name] = OnSet(errors=errors, differing=[int(count) for count in differing.sum(1)])
    return Comparison(form=form, provider=provider, sets=sets, run_ms=timing.run_ms, speed=timing.speed)


def _errors(output: str, got: Float32Array, promised: Float32Array) -> Errors:
    got64, promised64 = got.astype(np.float64), promised.astype(np.float64)
    return Errors(
        absolute=_spread(np.abs(got64 - promised64)),
        relative=_spread(parity.relative_difference(output, got64, promised64).astype(np.float64)),
    )


def _spread(differences: npt.NDArray[np.float64]) -> Spread:
    finite = np.nan_to_num(differences, nan=_LARGEST, posinf=_LARGEST).clip(0, _LARGEST)
    p50, p99 = np.quantile(finite, (0.5, 0.99), method="lower")
    return Spread(p50=float(p50), p99=float(p99), max=float(finite.max()))

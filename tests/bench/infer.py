"""Windows a second through the daemon's inference stage, beside bare `InferenceSession.run` of the same model on the same windows."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort

from agent.config.check import check
from agent.infer.loading import load
from agent.infer.scorer import Scorer
from agent.types import Float32Array
from tests.bench import fleet
from tests.bench.figures import Figure, significant
from tests.bench.rounds import alternate

_SIZES = (1, 16, 64, 256)
_ROUNDS = 60
_ROUND_WINDOWS = 512
_OUTPUTS = ["score", "channel_score"]


def measure() -> Iterator[Figure]:
    """What the pipeline calls, checks and all, one size after the other; then with the model in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        checked = check(fleet.write(Path(folder), 1, "mqtt://127.0.0.1:1883"))
    machine = next(iter(checked.machines.values()))
    bare = bare_session(machine.bundle.model)
    for size in _SIZES:
        yield _figure(f"infer.batch_{size}", machine.session, bare, size, ">= 0.9")
    isolated = load(machine.bundle, replace(checked.inference, isolate=True))
    for size in (1, 64):
        yield _figure(f"infer.isolated_{size}", isolated, bare, size, None)
    isolated.close()


def bare_session(model: bytes) -> ort.InferenceSession:
    """The same model in ONNX Runtime with one thread, and nothing else."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def windows_of(size: int) -> Float32Array:
    """[size, channels, time] of the fleet's normal operation, each window its own part of it."""
    samples = fleet.signal(fleet.WINDOW + size * fleet.HOP, seed=5)
    cut = [samples[start * fleet.HOP :][: fleet.WINDOW].T for start in range(size)]
    return np.ascontiguousarray(np.stack(cut))


def _figure(name: str, scorer: Scorer, bare: ort.InferenceSession, size: int, goal: str | None) -> Figure:
    windows = windows_of(size)
    _check_alike(scorer, bare, windows)
    found = alternate(
        lambda: _rate(lambda: scorer.score(windows), size),
        lambda: _rate(lambda: bare.run(_OUTPUTS, {"window": windows}), size),
        _ROUNDS,
    )
    speeds = f"bare InferenceSession.run: {found.bare:,.0f} windows/s, here {found.ours:,.0f}"
    return Figure(name, significant(found.ratio), "of bare speed", f"{speeds}; {size} windows a call", goal)


def _check_alike(scorer: Scorer, bare: ort.InferenceSession, windows: Float32Array) -> None:
    """Both do the same work."""
    for ours, theirs in zip(scorer.score(windows), bare.run(_OUTPUTS, {"window": windows}), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def _rate(call: Callable[[], object], size: int) -> float:
    """Windows a second over one round."""
    calls = max(2, _ROUND_WINDOWS // size)
    started = time.perf_counter()
    for _ in range(calls):
        call()
    return calls * size / (time.perf_counter() - started)

"""Windows a second through window, infer and decide, beside bare `InferenceSession.run` on the same windows in the same batches."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort

from agent.app import App
from agent.clock import SystemClock
from agent.config.starting import Started, started
from agent.infer.session import Session
from agent.notify import Notifier
from agent.pipeline.pipeline import Pipeline
from agent.types import Batch, Float32Array, TimeQuality
from tests.bench import fleet
from tests.bench.figures import Figure, significant
from tests.bench.rounds import alternate

_ROUNDS = 24
# Each machine's summary folds its samples every 2,048 rows, so that a round holds all of the work that recurs.
_ROUND_ROWS = 2_048
# A pipeline at its limit finds its buffer full and takes 1 MiB a step: of 100 devices some 90 samples each as JSON, 290 as binary.
_FULL = 128
# One that is not gets a window's worth of new samples at a time, and pays its fixed costs for half as many.
_SPARSE = fleet.HOP
_OUTPUTS = ["score", "channel_score"]


def measure() -> Iterator[Figure]:
    for name, streams, batch, goal in (
        ("1_streams", 1, _FULL, None),
        ("10_streams", 10, _FULL, None),
        ("100_streams", 100, _FULL, ">= 0.8"),
        ("100_streams_sparse", 100, _SPARSE, ">= 0.8"),
    ):
        with tempfile.TemporaryDirectory() as folder:
            ratio, against = _measure(Path(folder), streams, batch)
        yield Figure(f"pipeline.{name}", ratio, "of bare speed", against, goal)


def _measure(folder: Path, streams: int, batch: int) -> tuple[float, str]:
    with started(fleet.write(folder, streams, "mqtt://127.0.0.1:1883"), strict=True) as what:
        return _compared(what, streams, batch)


def _compared(what: Started, streams: int, batch: int) -> tuple[float, str]:
    checked = what.checked
    app = App(what, SystemClock(), Notifier(), lambda: None)
    ours, windows = _Ours(app._pipeline, streams, batch), []
    session = next(iter(checked.machines.values())).session.current
    assert isinstance(session, Session)
    ours.fill()
    with _Listening(app._pipeline, session, windows):
        ours.round()
    bare = _Bare(next(iter(checked.machines.values())).bundle.model, windows)
    found = alternate(ours.round, bare.round, max(_ROUNDS, _ROUNDS * 10 // streams))
    ours.verify()
    speeds = f"bare InferenceSession.run: {found.bare:,.0f} windows/s, here {found.ours:,.0f}"
    return significant(found.ratio), f"{speeds}; {batch} samples a batch"


class _Ours:
    """The real pipeline, fed with a batch of every device at once."""

    def __init__(self, pipeline: Pipeline, streams: int, batch: int) -> None:
        self._pipeline = pipeline
        self._batch = batch
        self._devices = [fleet.device_name(number) for number in range(streams)]
        self._values = [fleet.signal(_ROUND_ROWS, seed) for seed in range(streams)]
        self._quality = np.zeros((batch, fleet.CHANNELS), np.uint8)
        self._cell = 0

    def fill(self) -> None:
        """Until every hop completes a window."""
        self.round()

    def round(self) -> float:
        """Windows a second over one round."""
        steps = list(self._steps())
        before, started = self._pipeline.counters["windows"], time.perf_counter()
        for batches in steps:
            self._pipeline.advance(batches)
        return (self._pipeline.counters["windows"] - before) / (time.perf_counter() - started)

    def verify(self) -> None:
        """Every window was scored."""
        counters = self._pipeline.counters
        if counters["windows_unknown"] or counters["windows"] != counters["windows_scored"]:
            raise RuntimeError(f"not every window was scored: {counters.snapshot()}")

    def _steps(self) -> Iterator[list[Batch]]:
        for start in range(0, _ROUND_ROWS, self._batch):
            rows = slice(start, start + self._batch)
            t_ns = fleet.START_NS + (self._cell + np.arange(self._batch)) * fleet.STEP_NS
            self._cell += self._batch
            yield [
                Batch(device, t_ns, values[rows], self._quality, TimeQuality.DEVICE)
                for device, values in zip(self._devices, self._values, strict=True)
            ]


class _Listening:
    """Notes the windows that reach the model, in the batches in which they run."""

    def __init__(self, pipeline: Pipeline, session: Session, batches: list[Float32Array]) -> None:
        self._session = session
        self._pipeline = pipeline
        self._batches = batches

    def __enter__(self) -> None:
        run = self._session._score_batch

        def listen(windows: Float32Array) -> tuple[Float32Array, Float32Array]:
            self._batches.append(windows.copy())
            return run(windows)

        self._session._score_batch = listen

    def __exit__(self, *_: object) -> None:
        del self._session._score_batch


class _Bare:
    """The same model in ONNX Runtime with one thread, and nothing else."""

    def __init__(self, model: bytes, batches: list[Float32Array]) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._batches = batches
        self._windows = sum(map(len, batches))

    def round(self) -> float:
        """Windows a second over one round."""
        run = self._session.run
        started = time.perf_counter()
        for batch in self._batches:
            run(_OUTPUTS, {"window": batch})
        return self._windows / (time.perf_counter() - started)

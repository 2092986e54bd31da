"""The shared ONNX Runtime session of a bundle: proves itself by golden vectors, then scores windows under a deadline."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from agent.clock import Clock, SystemClock
from agent.errors import BundleError, InferenceError
from agent.infer import providers
from agent.infer.bundle import Bundle
from agent.infer.scorer import blank_non_finite, check_windows
from agent.types import NANOSECONDS, Float32Array

# ONNX Runtime plans memory per shape, so few fixed sizes keep its arena small. On one core sixteen windows already run as fast
# as a hundred would; accelerators go on gaining.
_BATCH_SIZES = {providers.CPU: (16, 4, 1)}
_ACCELERATED_SIZES = (256, 64, 16, 4, 1)
_OUTPUTS = ["score", "channel_score"]
_LOAD_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
_RUN_ERRORS = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


@dataclass(slots=True)
class _Run:
    """The run in progress, seen by the thread that enforces its deadline."""

    started_ns: int
    options: ort.RunOptions
    stopped: bool = False


class Session:
    """A `Scorer` on ONNX Runtime. `provider` is the one in use, `degraded` why it is not the one wanted, or None."""

    def __init__(
        self,
        bundle: Bundle,
        device: providers.Device = "auto",
        *,
        required: bool = False,
        threads: int = 1,
        deadline_ns: int = 10 * NANOSECONDS,
        clock: Clock | None = None,
    ) -> None:
        """Load and prove the model.

        Raises BundleError where the graph does not load, has other inputs and outputs than promised, or misses its golden
        vectors on this machine; InferenceError where a required accelerator is not to be had.
        """
        self._clock = clock or SystemClock()
        self._deadline_ns = deadline_ns
        self._lock = threading.Lock()
        self._run: _Run | None = None
        asked = providers.choose(device, ort.get_available_providers(), required=required)
        self._ort = _load(bundle, asked, threads)
        self.provider: str = self._ort.get_providers()[0]
        self.degraded = providers.degraded(device, asked, self._ort.get_providers(), required=required)
        self._batch_sizes = _BATCH_SIZES.get(self.provider, _ACCELERATED_SIZES)
        self._channels, self._time = len(bundle.manifest.contract.channels), bundle.manifest.contract.window
        _check_signature(self._ort, self._channels, self._time, len(bundle.manifest.model.kinds))
        self._prove(bundle)

    def score(self, windows: Float32Array) -> tuple[Float32Array, Float32Array]:
        """See `Scorer.score`; the deadline holds for each batch that the windows are split into."""
        check_windows(windows, self._channels, self._time)
        score = np.empty(len(windows), np.float32)
        channel_score = np.empty((len(windows), self._channels), np.float32)
        start = 0
        while start < len(windows):
            size = next(size for size in self._batch_sizes if size <= len(windows) - start)
            part = slice(start, start + size)
            score[part], channel_score[part] = self._score_batch(windows[part])
            start += size
        return blank_non_finite(score, channel_score)

    def enforce_deadline(self, now_ns: int) -> bool:
        """See `Scorer.enforce_deadline`; ONNX Runtime stops before the next node of the graph, not inside one."""
        with self._lock:
            run = self._run
            if run is None or now_ns - run.started_ns <= self._deadline_ns:
                return False
            run.options.terminate = True
            run.stopped = True
            return True

    def _score_batch(self, windows: Float32Array) -> tuple[Float32Array, Float32Array]:
        run = _Run(self._clock.monotonic_ns(), ort.RunOptions())
        with self._lock:
            self._run = run
        try:
            score, channel_score = self._ort.run(_OUTPUTS, {"window": windows}, run.options)
        except _RUN_ERRORS as error:
            if run.stopped:
                limit_s = self._deadline_ns / NANOSECONDS
                raise InferenceError(f"the model overran its deadline of {limit_s:g} s and was stopped") from error
            raise InferenceError(f"the model failed on {len(windows)} windows: {error}") from error
        finally:
            with self._lock:
                self._run = None
        if score.shape != (len(windows),) or channel_score.shape != (len(windows), self._channels):
            raise InferenceError(f"the model gave score {score.shape}, channel_score {channel_score.shape}")
        return score, channel_score

    def _prove(self, bundle: Bundle) -> None:
        """Re-run the golden vectors: a digest proves the file, this proves the arithmetic of this machine."""
        limits = bundle.manifest.golden
        try:
            found = self.score(bundle.golden.windows)
        except InferenceError as error:
            raise BundleError(f"the golden vectors do not run: {error}; export the bundle again") from error
        for name, got, promised in zip(
            _OUTPUTS, found, (bundle.golden.score, bundle.golden.channel_score), strict=True
        ):
            allowed = limits.absolute_tolerance + limits.relative_tolerance * np.abs(promised)
            excess = np.nan_to_num(np.abs(got - promised) / allowed, nan=np.inf)
            worst = np.unravel_index(int(excess.argmax()), excess.shape)
            if excess[worst] > 1:
                raise BundleError(
                    f"the model misses its golden vectors on {self.provider}: {name}{[int(i) for i in worst]} is {got[worst]:g}, "
                    f"promised {promised[worst]:g} ± {allowed[worst]:.2g}; export it again or choose another [inference] device"
                )


def _load(bundle: Bundle, asked: list[str], threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # errors; its warnings go to stderr past our log
    # A spinning pool burns a whole core at 50 windows a second.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if providers.CPU not in asked:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        return ort.InferenceSession(bundle.model, options, providers=asked)
    except _LOAD_ERRORS as error:
        if providers.CPU not in asked:
            raise InferenceError(f"{asked[0]} is required and cannot run this model: {error}") from error
        raise BundleError(f"ONNX Runtime {ort.__version__} cannot load model.onnx: {error}; export it again") from error


def _check_signature(session: ort.InferenceSession, channels: int, time: int, kinds: int) -> None:
    """Names, element types and fixed dimensions; the batch dimension is free."""
    promised = {"window": [channels, time], "score": [], "channel_score": [channels]}
    if kinds:
        promised["class_probability"] = [kinds]
    found = {value.name: value for value in [*session.get_inputs(), *session.get_outputs()]}
    if set(found) != set(promised):
        raise BundleError(f"model.onnx has {sorted(found)}, a Stethos model has {sorted(promised)}; export it again")
    for name, shape in promised.items():
        value = found[name]
        batch, *rest = value.shape or [None]
        if value.type != "tensor(float)" or isinstance(batch, int) or rest != shape:
            raise BundleError(
                f"model.onnx: {name} is {value.type} {value.shape}, must be tensor(float) ['batch', {str(shape)[1:-1]}]; "
                "export it again from a contract with these channels and this window"
            )

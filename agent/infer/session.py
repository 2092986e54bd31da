"""A bundle's model in this process: proves itself by golden vectors, then scores windows in bound memory under a deadline."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from agent.clock import Clock, SystemClock
from agent.errors import BundleError, DeadlineError, InferenceError
from agent.infer import placement, providers
from agent.infer.agreement import FP32, check_golden, worst_miss
from agent.infer.binding import Binding, bind, run_options
from agent.infer.bundle import Bundle
from agent.infer.canary import Latency, measure
from agent.infer.engine_options import EngineOptions
from agent.infer.form import form_of
from agent.infer.golden import GoldenVectors
from agent.infer.manifest import Manifest
from agent.infer.opening import check_signature, open_session
from agent.infer.plan import Plan, cut
from agent.infer.providers import CUDA
from agent.infer.scorer import blank_non_finite, check_shape
from agent.infer.settings import InferenceSettings
from agent.metrics import Counters
from agent.types import NANOSECONDS, Float32Array

log = logging.getLogger(__name__)

# A first run may search for the fastest kernels; the deadline is for those that follow.
_PROOF_DEADLINE_NS = 60 * NANOSECONDS
_GUARD_S = 0.05
_RUN_ERRORS = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    RuntimeError,  # what a run with bound memory raises for any of the above
)


@dataclass(slots=True)
class _Run:
    """The run in progress, seen by the thread that enforces its deadline."""

    started_ns: int
    options: ort.RunOptions
    stopped: bool = False


class Session:
    """A `Loaded` on ONNX Runtime, for one thread that scores and another that enforces the deadline.

    `provider` is the one in use.
    """

    failure: str | None = None  # what goes wrong here ends with the run

    def __init__(
        self,
        bundle: Bundle,
        settings: InferenceSettings | None = None,
        clock: Clock | None = None,
        plan: Plan | None = None,
        engine: EngineOptions | None = None,
    ) -> None:
        """Load and prove the model, in the form that `plan` names, or as a TensorRT `engine` of it.

        Raises BundleError where the graph does not load, has other inputs and outputs than promised, or misses its golden
        vectors on this machine; InferenceError where a required accelerator is not to be had.
        """
        self._settings = settings or InferenceSettings()
        self._clock = clock or SystemClock()
        self._plan = plan or Plan()
        self._counters = Counters()
        self._lock = threading.Lock()
        self._run: _Run | None = None
        self._bindings: dict[int, Binding] = {}  # by batch size; empty once it is closed
        self._channels, self._time = len(bundle.manifest.contract.channels), bundle.manifest.contract.window
        self._form = form_of(bundle, self._settings, self._plan, engine)
        self._deadline_ns = max(self._settings.deadline_ns, _PROOF_DEADLINE_NS)
        with self._guarded():
            self._open_and_prove(bundle)
            self.latency: Latency | None = measure(self.score, bundle.golden.windows[:1], self._clock)
        self._deadline_ns = self._settings.deadline_ns

    @property
    def degraded(self) -> str | None:
        """See `Loaded.degraded`. A captured graph is replayed without the CPU, which worked out shapes when it was captured."""
        fallen = {} if self.captures else self.placement.fallen
        return self._not_wanted or providers.partly_degraded(fallen, self.provider)

    @property
    def variant(self) -> str:
        """See `Loaded.variant`."""
        return self._form.variant

    @property
    def tuning(self) -> str:
        """See `Loaded.tuning`."""
        return self._plan.basis

    @property
    def counters(self) -> Mapping[str, int]:
        """See `Loaded.counters`."""
        return self._counters.snapshot()

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """The sizes in which windows run, falling."""
        return tuple(self._bindings)

    def score(self, windows: Float32Array) -> tuple[Float32Array, Float32Array]:
        """See `Scorer.score`; the deadline holds for each batch that the windows are split into."""
        check_shape(windows, self._channels, self._time)
        score = np.empty(len(windows), np.float32)
        channel_score = np.empty((len(windows), self._channels), np.float32)
        for part in cut(len(windows), self._sizes):
            score[part], channel_score[part] = self._score_batch(windows[part])
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

    def close(self) -> None:
        """See `Loaded.close`."""
        self._bindings = {}

    def _open_and_prove(self, bundle: Bundle) -> None:
        """CUDA graphs need every node on the GPU and no control flow: whether a model has that is found by trying."""
        if self._form.asked[0] == CUDA:
            try:
                self._open(bundle, captures=True)
                self._prove(bundle)
            except (BundleError, InferenceError) as error:
                log.info("%s runs without CUDA graphs: %s", bundle.manifest.name, error)
            else:
                return
        self._open(bundle, captures=False)
        self._prove(bundle)

    def _open(self, bundle: Bundle, *, captures: bool) -> None:
        form = self._form
        options = {**form.options, CUDA: {"enable_cuda_graph": "1"}} if captures else form.options
        session = open_session(form.model, form.asked, self._settings.threads, options)
        check_signature(session, self._channels, self._time, len(bundle.manifest.model.kinds))
        self.provider: str = session.get_providers()[0]
        self.placement = placement.read(session)
        self._not_wanted = self._why_not_wanted(session.get_providers())
        self.captures = captures and self.provider == CUDA
        self._sizes = self._plan.sizes(self.provider, self._channels * self._time, form.most)
        self._bindings = {size: bind(session, size, self._channels, self._time) for size in self._sizes}

    def _why_not_wanted(self, in_use: Sequence[str]) -> str | None:
        settings, form = self._settings, self._form
        return providers.degraded(settings.device, form.wanted, in_use, required=settings.required, engine=form.engine)

    def _score_batch(self, windows: Float32Array) -> tuple[Float32Array, Float32Array]:
        """The outputs of one batch, good until the next one of its size."""
        size = len(windows)
        if not self._bindings:
            raise InferenceError("the model was closed; load it again")
        graph = size if self.captures else None
        only_queue = self.captures or set(self.placement.nodes) == {CUDA}
        run = _Run(self._clock.monotonic_ns(), run_options(graph, only_queue=only_queue))
        with self._lock:
            self._run = run
        try:
            return self._bindings[size].run(windows, run.options)
        except _RUN_ERRORS as error:
            if run.stopped:
                self._counters.add("overruns")
                limit_s = self._deadline_ns / NANOSECONDS
                raise DeadlineError(f"the model overran its deadline of {limit_s:g} s and was stopped") from error
            if self.captures:  # another use of the GPU while a graph is captured spoils it; a plain run needs none
                self.captures = False
                log.warning("the model goes on without CUDA graphs: %s", error)
                return self._score_batch(windows)
            self._counters.add("failures")
            raise InferenceError(f"the model failed on {size} windows: {error}") from error
        finally:
            with self._lock:
                self._run = None

    def _prove(self, bundle: Bundle) -> None:
        """Hold every batch size against the golden vectors: a digest proves the file, this the arithmetic of this machine.

        Each size has kernels of its own, and on CUDA a graph that reads what its capture left in memory; so all are captured before any is judged.
        """
        golden = bundle.golden
        try:
            for size in self._sizes:
                self._score_batch(golden.resized(size).windows)
            for vectors in (golden, *map(golden.resized, self._sizes)):
                self._check(bundle.manifest, vectors, self.score(vectors.windows))
        except InferenceError as error:
            raise BundleError(f"the golden vectors do not run: {error}; export the bundle again") from error

    def _check(self, manifest: Manifest, golden: GoldenVectors, found: tuple[Float32Array, Float32Array]) -> None:
        if self.variant != FP32:
            check_golden(manifest, golden, self.variant, found, self.provider)
        elif miss := worst_miss(golden, found, manifest.golden):
            raise BundleError(
                f"the model misses its golden vectors on {self.provider}, {len(golden.windows)} at once: {miss}; "
                "export it again or choose another [inference] device"
            )

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """While it loads nobody else enforces its deadline."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(_GUARD_S):
                self.enforce_deadline(self._clock.monotonic_ns())

        guard = threading.Thread(target=watch, name="model deadline", daemon=True)
        guard.start()
        try:
            yield
        finally:
            done.set()
            guard.join()

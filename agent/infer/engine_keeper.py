"""Sees to it that every bundle gets its TensorRT engine: built in a child while something else serves, proven, then swapped in."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.backoff import full_jitter_s
from agent.errors import BundleError, InferenceError
from agent.infer.bundle import Bundle
from agent.infer.engine_build import Task, build_engine
from agent.infer.engine_cache import EngineCache
from agent.infer.engine_key import EngineKey, Way
from agent.infer.engine_options import ReadGpu, VersionOf, cache_of, engine_options, is_way, key_of
from agent.infer.engine_state import EngineState
from agent.infer.engine_ways import PROVIDER, builder_missing, tensorrt_version
from agent.infer.gpu import read_gpu
from agent.infer.loading import Loaded, load
from agent.infer.settings import InferenceSettings
from agent.infer.slot import ScorerSlot
from agent.metrics import Counters

log = logging.getLogger(__name__)

ATTEMPTS = 3
_FIRST_WAIT_S, _LONGEST_WAIT_S = 30.0, 600.0
_LOOK_S = 0.5
_LOG_EVERY_PERCENT = 10
_CLOSE_S = 30.0  # longer than any deadline lets a run go on


class Build(Protocol):
    """`build_engine`, or what stands in for it."""

    def __call__(self, task: Task, folder: Path, stop: threading.Event, told: Callable[[float], None]) -> bool: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """The engine of the bundle of machine `name` is to take the place of what stands in its slot."""

    name: str
    bundle: Bundle
    slot: ScorerSlot
    standing: Loaded


class EngineKeeper:
    """`run` is the body of a thread of its own; `watch` and `states` may be called from any.

    counters: built, swapped, failed, refused.
    """

    def __init__(
        self,
        settings: InferenceSettings,
        *,
        build: Build = build_engine,
        load: Callable[[Bundle, InferenceSettings], Loaded] = load,
        gpu_of: ReadGpu = read_gpu,
        version_of: VersionOf = tensorrt_version,
        first_wait_s: float = _FIRST_WAIT_S,
    ) -> None:
        self.counters = Counters()
        self._settings = settings
        self._cache = cache_of(settings)
        self._build = build
        self._load = load
        self._gpu_of = gpu_of
        self._version_of = version_of
        self._first_wait_s = first_wait_s
        self._jitter = random.Random()  # noqa: S311 - no secret
        self._changed = threading.Condition()
        self._waiting: dict[str, _Job] = {}
        self._states: dict[str, EngineState] = {}

    def watch(self, name: str, bundle: Bundle, slot: ScorerSlot) -> None:
        """Give the bundle of machine `name` that is in `slot` now its engine; of several calls for one machine, the newest counts."""
        if not self.wanted:
            return
        with self._changed:
            self._waiting[name] = _Job(name, bundle, slot, slot.current)
            self._states[name] = EngineState(state="none")
            self._changed.notify()

    @property
    def wanted(self) -> bool:
        """Whether `[inference] device` asks for engines at all."""
        return is_way(self._settings.device)

    @property
    def states(self) -> dict[str, EngineState]:
        """By machine; empty where no engine is asked for."""
        with self._changed:
            return dict(self._states)

    def run(self, stop: threading.Event) -> None:
        """Serve one bundle after another until `stop` is set."""
        if self._cache is not None:
            self._cache.clear_unfinished()
        while not stop.is_set():
            with self._changed:
                if not self._waiting:
                    self._changed.wait(_LOOK_S)
                    continue
                job = self._waiting.pop(next(iter(self._waiting)))
            self._serve(job, stop)

    def _serve(self, job: _Job, stop: threading.Event) -> None:
        current = job.slot.current
        try:
            if current.provider != PROVIDER[self._way]:
                if current is not job.standing:
                    return  # another bundle has taken its place
                key, cache = self._get_ready(job, stop)
                if stop.is_set() or not self._swap(job, key, cache, stop):
                    return
            self._tell(job, EngineState(state="ready"))
            log.info("%s runs on its TensorRT engine", job.name)
        except (BundleError, InferenceError) as error:
            self.counters.add("refused")
            self._tell(job, EngineState(state="refused", why=str(error)))
            log.warning("%s gets no TensorRT engine, %s serves: %s", job.name, job.slot.provider, error)

    def _get_ready(self, job: _Job, stop: threading.Event) -> tuple[EngineKey, EngineCache]:
        """Have an engine that can be loaded, if `stop` is not set before; raises where there can be none."""
        key = key_of(job.bundle, self._way, self._gpu_of, self._version_of)
        if self._cache is None:
            raise InferenceError("there is no state folder to keep engines in")
        if (why := self._cache.refusal(key)) is not None:
            raise BundleError(
                f"{why} (this is remembered: remove {self._cache.folder / key.name} to have it tried again)"
            )
        if engine_options(job.bundle, self._settings, self._gpu_of, self._version_of) is not None:
            return key, self._cache
        if job.bundle.manifest.encryption is not None:
            raise BundleError("its model is encrypted, an engine built here would not be; have its supplier ship one")
        if (missing := builder_missing(self._way, key.tensorrt)) is not None:
            raise InferenceError(missing)
        self._build_with_retries(job, key, self._cache, stop)
        return key, self._cache

    def _build_with_retries(self, job: _Job, key: EngineKey, cache: EngineCache, stop: threading.Event) -> None:
        """Raises what the last attempt did; a refusal is final."""
        for attempt in range(1, ATTEMPTS + 1):
            log.info("building the TensorRT engine of %s for %s, attempt %d", job.name, key.capability, attempt)
            self._tell(job, EngineState(state="building"))
            try:
                self._build_once(job, key, cache, stop)
            except BundleError as error:
                cache.refuse(key, str(error))
                raise
            except InferenceError as error:
                self.counters.add("failed")
                if attempt == ATTEMPTS:
                    raise InferenceError(f"given up after {ATTEMPTS} attempts: {error}") from error
                self._wait(job, attempt, error, stop)
            else:
                return
            if stop.is_set():
                return

    def _build_once(self, job: _Job, key: EngineKey, cache: EngineCache, stop: threading.Event) -> None:
        contract = job.bundle.manifest.contract
        task = Task(key, job.bundle.model, (len(contract.channels), contract.window))
        with cache.begin() as folder:
            if self._build(task, folder, stop, self._teller(job)):
                cache.adopt(key, folder)
                self.counters.add("built")

    def _wait(self, job: _Job, attempt: int, error: InferenceError, stop: threading.Event) -> None:
        wait_s = full_jitter_s(
            attempt, first_s=self._first_wait_s, cap_s=_LONGEST_WAIT_S, fraction=self._jitter.random()
        )
        log.warning("the TensorRT engine of %s failed, again in %.0f s: %s", job.name, wait_s, error)
        self._tell(job, EngineState(state="none", why=str(error)))
        stop.wait(wait_s)

    def _swap(self, job: _Job, key: EngineKey, cache: EngineCache, stop: threading.Event) -> bool:
        """Load, which proves the golden vectors, and take the place; False where another bundle has done so meanwhile."""
        new = self._load(job.bundle, self._settings)
        if new.provider != PROVIDER[key.way]:
            new.close()
            raise InferenceError(
                cache.refusal(key) or new.degraded or f"ONNX Runtime gave the engine to {new.provider}"
            )
        if not job.slot.exchange(job.standing, new):
            new.close()
            return False
        self.counters.add("swapped")
        for _ in range(round(_CLOSE_S / _LOOK_S)):
            if not job.slot.busy(job.standing) or stop.wait(_LOOK_S):
                break
        job.standing.close()
        return True

    @property
    def _way(self) -> Way:
        device = self._settings.device
        assert is_way(device), "watch takes nothing for other devices"
        return device

    def _tell(self, job: _Job, state: EngineState) -> None:
        with self._changed:
            if job.name not in self._waiting:  # else a newer bundle has come to this name
                self._states[job.name] = state

    def _teller(self, job: _Job) -> Callable[[float], None]:
        logged = 0

        def told(part: float) -> None:
            nonlocal logged
            percent = int(part * 100)
            self._tell(job, EngineState(state="building", percent=percent))
            if percent >= logged + _LOG_EVERY_PERCENT:
                logged = percent
                log.info("building the TensorRT engine of %s: %d %%", job.name, percent)

        return told

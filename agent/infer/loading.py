"""Loads a bundle's model as the settings say: in this process, or in one of its own; the one way to get a scorer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from agent.clock import Clock
from agent.errors import BundleError, InferenceError
from agent.infer import plugins, providers
from agent.infer.agreement import FP32, preferred
from agent.infer.bundle import Bundle
from agent.infer.canary import Latency
from agent.infer.engine_options import engine_options, refuse
from agent.infer.isolated import Isolated
from agent.infer.placement import Placement
from agent.infer.plan import Plan
from agent.infer.scorer import Scorer
from agent.infer.session import Session
from agent.infer.settings import InferenceSettings
from agent.infer.tuned import recall

log = logging.getLogger(__name__)


class Loaded(Scorer, Protocol):
    """A proven model that scores, and the truth about what it runs on."""

    @property
    def provider(self) -> str:
        """The execution provider that runs it, as ONNX Runtime names it."""
        ...

    @property
    def degraded(self) -> str | None:
        """Why it runs on something worse than configured, or None."""
        ...

    @property
    def placement(self) -> Placement:
        """Which provider runs how many nodes."""
        ...

    @property
    def latency(self) -> Latency | None:
        """Of the canary after load; None where none was run."""
        ...

    @property
    def variant(self) -> str:
        """Which form of the model runs: fp32, fp16, int8 or tensorrt-rtx."""
        ...

    @property
    def tuning(self) -> str:
        """Where its batch sizes and its variant come from, in a few words."""
        ...

    @property
    def failure(self) -> str | None:
        """Why it cannot score at this moment, or None."""
        ...

    @property
    def counters(self) -> Mapping[str, int]:
        """What went wrong since load, by name: overruns, failures, crashes, restarts."""
        ...

    def close(self) -> None:
        """End it and let go of what it holds; `score` raises InferenceError from then on. May be called twice."""
        ...


def load(bundle: Bundle, settings: InferenceSettings, clock: Clock | None = None) -> Loaded:
    """A scorer that has proven itself by the bundle's golden vectors.

    Raises BundleError where the graph does not load, has other inputs and outputs than promised, or misses its golden
    vectors on this machine; InferenceError where a required accelerator is not to be had.
    """
    if settings.isolate:
        return Isolated(bundle, settings, clock)
    plan = recall(bundle, settings)
    if plan.stale:
        log.warning("%s: %s", bundle.manifest.name, plan.basis)
    if plan.batch_sizes == ():
        plan = replace(plan, variant=_measured_by_supplier(bundle, settings))
    try:
        return load_here(bundle, settings, clock, plan)
    except BundleError as error:
        if plan.variant == FP32:
            raise
        log.warning("%s: %s", bundle.manifest.name, error)
        return load_here(bundle, settings, clock, Plan(basis=f"{plan.variant} was refused"))


def load_here(bundle: Bundle, settings: InferenceSettings, clock: Clock | None, plan: Plan) -> Session:
    """In this process: the TensorRT engine where one is wanted and ready, else the form that `plan` names. Raises as `load` does."""
    engine = engine_options(bundle, settings)
    if engine is not None:
        try:
            return Session(bundle, settings, clock, plan, engine)
        except BundleError as error:
            refuse(engine, settings, str(error))
        except InferenceError as error:  # the box's fault and not the engine's, which another start may find mended
            log.warning("the TensorRT engine of %s cannot be loaded: %s", bundle.manifest.name, error)
    return Session(bundle, settings, clock, plan)


def _measured_by_supplier(bundle: Bundle, settings: InferenceSettings) -> str:
    """The variant that its supplier found to be the fastest on the provider that will be asked for."""
    if not bundle.manifest.variants:
        return FP32
    asked = providers.choose(settings.device, plugins.available(settings.device), required=settings.required)
    return preferred(bundle.manifest.variants, providers.meanwhile(asked)[0])

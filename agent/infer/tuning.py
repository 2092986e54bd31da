"""Measures on this box which form of a model runs fastest, and in which batches."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from agent.clock import Clock, SystemClock
from agent.errors import BundleError, InferenceError
from agent.infer.agreement import FP32
from agent.infer.bundle import Bundle
from agent.infer.engine_options import engine_options
from agent.infer.loading import load_here
from agent.infer.plan import CANDIDATES, Plan, choose_sizes
from agent.infer.session import Session
from agent.infer.settings import InferenceSettings
from agent.infer.tuned import Tuned, hardware_of, models_sha256
from agent.types import NANOSECONDS

# One batch may take so long; larger ones of a slow model gain nothing, and would hold up the pipeline.
_LONGEST_BATCH_MS = 1_000.0
_ROUND_NS = NANOSECONDS // 4
_LEAST_RUNS = 3
# Another form than fp32 is worth its differences only where it gains this much over all sizes.
_LEAST_GAIN = 1.1

Seconds = Mapping[int, float]


def tune(
    bundle: Bundle,
    settings: InferenceSettings,
    clock: Clock | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Tuned:
    """Run every form that passes its golden vectors here in batches of growing size; `told` hears what is being measured.

    Raises as `load` does where fp32 itself cannot run.
    """
    clock, here = clock or SystemClock(), replace(settings, isolate=False)
    seconds: dict[str, Seconds] = {}
    left_out: dict[str, str] = {}
    forms = (
        [FP32] if engine_options(bundle, here) else [FP32, *sorted(bundle.variants)]
    )  # an engine stands for them all
    for variant in forms:
        told(variant)
        try:
            seconds[variant], provider = _measure(bundle, here, variant, clock)
        except (BundleError, InferenceError) as error:
            if variant == FP32:
                raise
            left_out[variant] = str(error)
            continue
    best = choose_variant(seconds)
    return Tuned(
        models_sha256=models_sha256(bundle),
        hardware=hardware_of(settings),
        measured=datetime.fromtimestamp(clock.now_ns() / NANOSECONDS, UTC).isoformat(timespec="seconds"),
        provider=provider,
        variant=best,
        batch_sizes=list(choose_sizes(seconds[best])),
        milliseconds={
            name: {str(size): round(taken * 1e3, 6) for size, taken in of.items()} for name, of in seconds.items()
        },
        left_out=left_out,
    )


def choose_variant(seconds: Mapping[str, Seconds]) -> str:
    """The form with the best mean gain over fp32 on the sizes that both were measured in; fp32 where none gains enough."""
    usual = seconds[FP32]
    gains = {
        name: statistics.geometric_mean(usual[size] / taken for size, taken in of.items() if size in usual)
        for name, of in seconds.items()
    }
    best = max(gains, key=lambda name: gains[name])
    return best if gains[best] >= _LEAST_GAIN else FP32


def _measure(bundle: Bundle, settings: InferenceSettings, variant: str, clock: Clock) -> tuple[Seconds, str]:
    """Seconds of one batch by its size, as the pipeline would see them, and the provider."""
    probe = load_here(bundle, settings, clock, Plan(variant, (1,)))
    single_ms = 0.0 if probe.latency is None else probe.latency.median_ms
    probe.close()
    sizes = tuple(size for size in reversed(CANDIDATES) if size == 1 or size * single_ms <= _LONGEST_BATCH_MS)
    session = load_here(bundle, settings, clock, Plan(variant, sizes))
    try:
        seconds = {size: _seconds(session, bundle, size, clock) for size in reversed(session.batch_sizes)}
        return seconds, session.provider
    finally:
        session.close()


def _seconds(session: Session, bundle: Bundle, size: int, clock: Clock) -> float:
    """The median of some runs."""
    windows = bundle.golden.resized(size).windows
    taken_ns: list[int] = []
    while sum(taken_ns) < _ROUND_NS or len(taken_ns) < _LEAST_RUNS:
        started_ns = clock.monotonic_ns()
        session.score(windows)
        taken_ns.append(max(1, clock.monotonic_ns() - started_ns))
    return statistics.median(taken_ns) / NANOSECONDS

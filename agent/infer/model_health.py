"""What a machine's model really runs on, as health tells it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from agent.infer.loading import Loaded


class ModelHealth(msgspec.Struct, frozen=True, kw_only=True):
    """`operators` counts the graph's by the provider that runs them, `on_cpu` those that an accelerator left to the CPU, by their kind.

    Milliseconds are of single windows, right after the model was loaded. `counters`: what went wrong since.
    """

    provider: str
    variant: str
    degraded: str | None
    failure: str | None
    operators: dict[str, int]
    on_cpu: dict[str, int]
    median_ms: float | None
    worst_ms: float | None
    promised_ms: float | None
    tuning: str
    counters: dict[str, int]


def model_health(loaded: Loaded, promised_ms: float | None) -> ModelHealth:
    """The truth about `loaded`; `promised_ms` is its bundle's word on the median."""
    latency = loaded.latency
    return ModelHealth(
        provider=loaded.provider,
        variant=loaded.variant,
        degraded=loaded.degraded,
        failure=loaded.failure,
        operators=dict(loaded.placement.nodes),
        on_cpu=dict(loaded.placement.fallen),
        median_ms=None if latency is None else latency.median_ms,
        worst_ms=None if latency is None else latency.worst_ms,
        promised_ms=promised_ms,
        tuning=loaded.tuning,
        counters=dict(loaded.counters),
    )

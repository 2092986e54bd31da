"""What stands in for engines, sessions and GPUs where a test is of those around them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import MappingProxyType

from agent.infer.canary import Latency
from agent.infer.engine_key import EngineKey
from agent.infer.gpu import Gpu
from agent.infer.placement import Placement
from agent.infer.scorer import FakeScorer
from agent.types import Float32Array

ADA = Gpu(name="NVIDIA RTX 4000 Ada", capability="sm89", cuda="13.0", driver="580.95.05")
RTX_VERSION = "1.7.1"


def engine_key(**changes: object) -> EngineKey:
    """A key of the Ada box; `changes` replace its parts."""
    parts: dict[str, object] = {
        "way": "tensorrt-rtx",
        "model_sha256": "ab" * 32,
        "tensorrt": RTX_VERSION,
        "cuda": ADA.cuda,
        "driver": ADA.driver,
        "capability": ADA.capability,
    }
    return EngineKey(**(parts | changes))


class FakeLoaded(FakeScorer):
    """A `Loaded` that says what it is told to; one that `holds` stays in its run until `go_on` is set."""

    def __init__(
        self,
        provider: str,
        *,
        degraded: str | None = None,
        failure: str | None = None,
        counters: Mapping[str, int] = MappingProxyType({}),
        holds: bool = False,
    ) -> None:
        super().__init__(3, 8)
        self.provider, self.degraded, self.failure, self.counters = provider, degraded, failure, counters
        self.placement, self.variant = Placement({}, {}), "fp32"
        self.latency: Latency | None = None
        self.tuning = "usual"
        self.runs, self.enforced, self.closed = 0, 0, False
        self.begun, self.go_on = threading.Event(), threading.Event()
        if not holds:
            self.go_on.set()

    def score(self, windows: Float32Array) -> tuple[Float32Array, Float32Array]:
        self.runs += 1
        self.begun.set()
        self.go_on.wait(30)
        return super().score(windows)

    def enforce_deadline(self, now_ns: int) -> bool:
        self.enforced += 1
        return super().enforce_deadline(now_ns)

    def close(self) -> None:
        self.closed = True

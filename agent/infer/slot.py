"""The place that a machine's scorer stands in, so that another can take it while windows flow."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent.infer.timing import Timing
from agent.types import Float32Array

if TYPE_CHECKING:
    from agent.infer.canary import Latency
    from agent.infer.loading import Loaded
    from agent.infer.placement import Placement


class ScorerSlot:
    """A `Loaded` that passes everything on to the one that stands in it; shared by the machines of one bundle.

    A run that has begun ends on the scorer that it began on, and that one's deadline holds for it to the end.
    timing: how long the runs took, whoever stood here.
    """

    def __init__(self, loaded: Loaded) -> None:
        self._lock = threading.Lock()
        self._loaded = loaded
        self._running: Loaded | None = None
        self.timing = Timing()

    @property
    def current(self) -> Loaded:
        """The one that the next run begins on."""
        with self._lock:
            return self._loaded

    def replace(self, new: Loaded) -> Loaded:
        """Put `new` in and return what stood here; close that only once `busy` is false of it."""
        with self._lock:
            old, self._loaded = self._loaded, new
            return old

    def exchange(self, expected: Loaded, new: Loaded) -> bool:
        """Put `new` in where `expected` still stands, and say whether it did: another bundle may have taken the place meanwhile."""
        with self._lock:
            if self._loaded is not expected:
                return False
            self._loaded = new
            return True

    def busy(self, loaded: Loaded) -> bool:
        """Whether a run that began on `loaded` still goes on."""
        with self._lock:
            return self._running is loaded

    def score(self, windows: Float32Array) -> tuple[Float32Array, Float32Array]:
        """See `Scorer.score`; called by one thread."""
        with self._lock:
            loaded = self._running = self._loaded
        started_ns = time.monotonic_ns()
        try:
            return loaded.score(windows)
        finally:
            if len(windows):
                self.timing.add(len(windows), time.monotonic_ns() - started_ns)
            with self._lock:
                self._running = None

    def enforce_deadline(self, now_ns: int) -> bool:
        """See `Scorer.enforce_deadline`; meant is the one that runs, not the one that has since taken its place."""
        with self._lock:
            loaded = self._running or self._loaded
        return loaded.enforce_deadline(now_ns)

    @property
    def provider(self) -> str:
        """See `Loaded`."""
        return self.current.provider

    @property
    def degraded(self) -> str | None:
        """See `Loaded`."""
        return self.current.degraded

    @property
    def placement(self) -> Placement:
        """See `Loaded`."""
        return self.current.placement

    @property
    def latency(self) -> Latency | None:
        """See `Loaded`."""
        return self.current.latency

    @property
    def variant(self) -> str:
        """See `Loaded`."""
        return self.current.variant

    @property
    def tuning(self) -> str:
        """See `Loaded`."""
        return self.current.tuning

    @property
    def failure(self) -> str | None:
        """See `Loaded`."""
        return self.current.failure

    @property
    def counters(self) -> Mapping[str, int]:
        """See `Loaded`."""
        return self.current.counters

    def close(self) -> None:
        """See `Loaded`."""
        self.current.close()

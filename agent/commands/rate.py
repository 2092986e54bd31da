"""How many requests are taken: a bucket of tokens that fills as time goes on."""

from __future__ import annotations

from agent.types import NANOSECONDS


class Bucket:
    """Full at first; times are monotonic, in nanoseconds."""

    def __init__(self, size: int, per_second: float) -> None:
        self._size = size
        self._per_ns = per_second / NANOSECONDS
        self._tokens = float(size)
        self._then_ns: int | None = None

    def take(self, now_ns: int) -> bool:
        """Take a token; False where there is none."""
        passed_ns = 0 if self._then_ns is None else max(0, now_ns - self._then_ns)
        self._then_ns = now_ns
        self._tokens = min(self._size, self._tokens + passed_ns * self._per_ns)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

"""How long each step of a stop may take, so that the whole of it ends within ten seconds whatever hangs."""

from __future__ import annotations

from typing import Literal

from agent.clock import Clock
from agent.types import NANOSECONDS

Step = Literal["bundles", "readers", "pipeline", "responses", "drain", "link", "outbox"]

# In the order of the data; a second of the ten is left for the last health and the end of the process.
SHARES_S: dict[Step, float] = {
    "bundles": 0.5,
    "readers": 1.5,
    "pipeline": 2.0,
    "responses": 1.0,
    "drain": 1.5,
    "link": 1.5,
    "outbox": 1.0,
}


class Allowance:
    """One stop, from now on: what a step leaves of its share is for those behind it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        until_ns, self._until_ns = clock.monotonic_ns(), dict[Step, int]()
        for step, share_s in SHARES_S.items():
            until_ns += round(share_s * NANOSECONDS)
            self._until_ns[step] = until_ns

    def left_s(self, step: Step) -> float:
        """How long `step` may take now, in seconds."""
        return max(0, self._until_ns[step] - self._clock.monotonic_ns()) / NANOSECONDS

"""Talk time: event time of a device without its silences and without the steps of its clock."""

from __future__ import annotations

import numpy as np

from agent.types import NANOSECONDS, Int64Array


class TalkClock:
    """How long a device has talked: a pause counts for a quarter of the silence that it may keep at most.

    So a channel is not blamed for a time in which its whole device said nothing.
    """

    def __init__(self, silent_after_s: float, rate_hz: float) -> None:
        self._most_ns = round(NANOSECONDS * max(silent_after_s / 4, 1 / rate_hz))
        self._last_ns: int | None = None
        self._now_ns = 0

    def advance(self, t_ns: Int64Array) -> Int64Array:
        """Talk times int64 [n] of samples at event times `t_ns` int64 [n], n above zero; never decreasing."""
        steps = np.empty_like(t_ns)
        first_ns = 0 if self._last_ns is None else int(t_ns[0]) - self._last_ns
        steps[0] = min(max(first_ns, 0), self._most_ns)  # two absurd times may be further apart than int64 reaches
        np.subtract(t_ns[1:], t_ns[:-1], out=steps[1:])
        talk_ns = np.cumsum(np.minimum(np.maximum(steps, 0), self._most_ns)) + self._now_ns
        self._last_ns, self._now_ns = int(t_ns[-1]), int(talk_ns[-1])
        return talk_ns

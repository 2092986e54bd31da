"""How long a model takes for a window, as the median of its latest runs."""

from __future__ import annotations

import statistics

_KEPT = 256  # runs


class Timing:
    """One thread adds, any may read."""

    def __init__(self) -> None:
        self._runs_ns: list[float] = []
        self._next = 0

    def add(self, windows: int, took_ns: int) -> None:
        """A run of so many windows, one at least."""
        if len(self._runs_ns) < _KEPT:
            self._runs_ns.append(took_ns / windows)
        else:
            self._runs_ns[self._next] = took_ns / windows
            self._next = (self._next + 1) % _KEPT

    @property
    def median_ms(self) -> float | None:
        """For one window; None before the first run."""
        runs_ns = list(self._runs_ns)
        return statistics.median(runs_ns) / 1e6 if runs_ns else None

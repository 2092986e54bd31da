"""How fast something grows, whatever a few strange readings say: the median of the slopes of all pairs (Theil 1950, Sen 1968)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST_POINTS = 400


def slope(t_s: Sequence[float], values: Sequence[float]) -> float:
    """Units of `values` a second; NaN of fewer than two readings. Long series are first made into medians of MOST_POINTS parts."""
    if len(t_s) < 2:
        return float("nan")
    parts = min(len(t_s), MOST_POINTS)
    t = np.array([np.median(part) for part in np.array_split(np.asarray(t_s, float), parts)])
    y = np.array([np.median(part) for part in np.array_split(np.asarray(values, float), parts)])
    first, second = np.triu_indices(parts, 1)
    apart = t[second] - t[first]
    return float(np.median((y[second] - y[first])[apart > 0] / apart[apart > 0]))

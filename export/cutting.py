"""What both ways of cutting a run share: their result, and how long the daemon waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.types import NANOSECONDS, Float32Array, Int64Array
from agent.window.contract import Contract

LATENESS_NS = 2 * NANOSECONDS  # as the daemon waits for a device that is silent


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """Known windows float32 [n, channels, time], their ends int64 [n], the last row inside each int64 [n], and what was left out."""

    values: Float32Array
    end_ns: Int64Array
    last_row: Int64Array
    unknown: int
    dropped: int
    restarts: int


def joined(parts: Sequence[Cut]) -> Cut:
    """Of stretches that follow each other, between which the grid began anew."""
    if len(parts) == 1:
        return parts[0]
    return Cut(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.end_ns for part in parts]),
        np.concatenate([part.last_row for part in parts]),
        sum(part.unknown for part in parts),
        sum(part.dropped for part in parts),
        len(parts) - 1,
    )


def lateness_ns(contract: Contract) -> int:
    """How long a cell waits for a device before it closes without it."""
    return max(LATENESS_NS, 2 * contract.period_ns)

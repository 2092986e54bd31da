"""Unbroken stretches of labels: the events behind anomalous rows and windows."""

from __future__ import annotations

import numpy as np

from agent.types import Int64Array
from export.rows import BoolArray


def stretches(marked: BoolArray) -> tuple[Int64Array, Int64Array]:
    """First and last index of every unbroken stretch of `marked` [n]."""
    edges = np.diff(np.concatenate(([False], marked, [False])).astype(np.int8))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1

"""Ours and the bare library in turns, so that what else the machine does burdens both alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import NamedTuple


class Compared(NamedTuple):
    """Medians over the rounds: of ours divided by bare in the same round, and of each by itself."""

    ratio: float
    ours: float
    bare: float


def alternate(ours: Callable[[], float], bare: Callable[[], float], rounds: int) -> Compared:
    """Measure both `rounds` times after one round to warm up; every other round begins with the other one."""
    ours(), bare()
    pairs = []
    for number in range(rounds):
        if number % 2:
            second, first = bare(), ours()
        else:
            first, second = ours(), bare()
        pairs.append((first, second))
    return compare(pairs)


def compare(pairs: list[tuple[float, float]]) -> Compared:
    """Pairs of (ours, bare), one for each round."""
    return Compared(
        statistics.median(first / second for first, second in pairs),
        statistics.median(first for first, _ in pairs),
        statistics.median(second for _, second in pairs),
    )

"""Counters by name, and the balance in = out + held + dropped that every stage must keep."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass


class Counters:
    """Monotonic counters. Each instance has one writing thread, so that an increment needs no lock; any may read."""

    def __init__(self) -> None:
        self._values: defaultdict[str, int] = defaultdict(int)

    def add(self, name: str, amount: int = 1) -> None:
        """Count `amount` more of `name`."""
        self._values[name] += amount

    def __getitem__(self, name: str) -> int:
        """The count so far; zero for a name never counted."""
        return self._values.get(name, 0)

    def snapshot(self) -> dict[str, int]:
        """A copy, sorted by name."""
        return dict(sorted(self._values.items()))


@dataclass(frozen=True, slots=True)
class Balance:
    """What went into a stage and what became of it."""

    entered: int
    left: int
    held: int
    dropped: int

    @property
    def missing(self) -> int:
        """Zero where every item is accounted for."""
        return self.entered - self.left - self.held - self.dropped

    def as_dict(self) -> dict[str, int]:
        """The balance as health publishes it."""
        return {"in": self.entered, "out": self.left, "held": self.held, "dropped": self.dropped}

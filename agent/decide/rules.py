"""Rules beside the model: a value made of channels, held against a limit with a deadband, window by window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from agent.decide.alarm import Reading
from agent.decide.condition import Finding
from agent.decide.expression import Cells, Expression
from agent.decide.point import Sight
from agent.types import Window

Side = Literal["high_high", "high", "low", "low_low"]
SIDES: tuple[Side, ...] = ("high_high", "high", "low", "low_low")


@dataclass(frozen=True, slots=True)
class Limit:
    """Where a rule's value stops being normal: above `level` on a high side, below it on a low one.

    It is normal again when it is back by `deadband`.
    """

    side: Side
    level: float
    deadband: float

    def finding(self, value: float) -> Finding:
        """What `value` means."""
        beyond = self.excess(value)
        if beyond > 0:
            return "deviating"
        return "normal" if beyond <= -self.deadband else "between"

    def excess(self, value: float) -> float:
        """By how much `value` is beyond the limit; negative within."""
        return value - self.level if self.side.startswith("high") else self.level - value


class Rule:
    """One limit on one expression; its point is NAME.SIDE."""

    def __init__(self, expression: Expression, limit: Limit, unit: str, rate_hz: float, hop: int) -> None:
        """`hop` is how many cells of a window are new: those are what a limit on single cells looks at."""
        self._expression = expression
        self._limit = limit
        self._unit = unit
        self._rate_hz = rate_hz
        self._hop = hop
        # One such step beyond the limit is news: a tenth of it, or the deadband where that is more.
        self._step = max(limit.deadband, abs(limit.level) / 10) or 1.0

    @property
    def channels(self) -> Sequence[str]:
        """DEVICE.CHANNEL of what it reads."""
        return self._expression.channels

    def look(self, window: Window) -> Sight:
        """What the rule makes of `window`, which need not be whole: cells that it does not read may be missing."""
        value = self._value(Cells(window.values.astype(np.float64), self._rate_hz))
        if not np.isfinite(value):
            return Sight(window.start_ns, window.end_ns, None, None)
        reading = Reading(
            strangeness=self._limit.excess(value) / self._step, value=value, limit=self._limit.level, unit=self._unit
        )
        return Sight(window.start_ns, window.end_ns, self._limit.finding(value), reading)

    def _value(self, cells: Cells) -> float:
        """The expression's number, or of its newest cells the one furthest to the limit's side."""
        value = self._expression(cells)
        if isinstance(value, float):
            return value
        newest = value[-self._hop :]
        return float(newest.max() if self._limit.side.startswith("high") else newest.min())


def holds(condition: Expression, window: Window, rate_hz: float) -> bool | None:
    """Whether a design condition holds at the end of `window`; None where what it reads is missing there."""
    value = condition(Cells(window.values.astype(np.float64), rate_hz))
    last = value if isinstance(value, float) else float(value[-1])
    return None if not np.isfinite(last) else bool(last)

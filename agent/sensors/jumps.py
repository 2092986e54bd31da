"""Implausible jumps: a value that leaves faster than its quantity can change is not believed; if it stays, the step was real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.sensors.faults import Fault
from agent.sensors.rows import BoolArray, Columns, Finding, Rows, latest, shifted
from agent.types import Int64Array

# A level that holds for so many values is where the quantity now is.
STAYS = 8


class Jumps:
    """Each channel's last believed value, and the level that it has jumped to."""

    def __init__(self, columns: Columns, max_steps: Sequence[float], rate_hz: float) -> None:
        """`max_steps`, of `columns`, is the most that each may change within 1/rate_hz."""
        self._columns = columns
        self._max = np.array(max_steps)
        self._period_ns = 1e9 / rate_hz
        self._believed = np.full(len(columns), np.nan)
        self._believed_ns: Int64Array = np.zeros(len(columns), np.int64)
        self._levels: dict[
            int, tuple[float, int]
        ] = {}  # by column: the level jumped to, and for how many values it has held

    def judge(self, rows: Rows) -> list[Finding]:
        """The values that jumped. Evident is a value that shows that the last jump was no step, by coming back or jumping on."""
        values, usable = rows.pick(self._columns)
        known = latest(values, usable, self._believed)
        with np.errstate(invalid="ignore", over="ignore"):
            far = np.abs(values - shifted(known, self._believed)) > self._max
        if usable is not None:
            far &= usable
        odd = {*np.flatnonzero(far.any(axis=0)).tolist(), *self._levels}
        before, before_ns = self._believed, self._believed_ns
        self._believed, self._believed_ns = known[-1].copy(), _last_ns(rows.talk_ns, usable, before_ns)
        masked, evident = np.zeros_like(far), np.zeros_like(far)
        for column in odd:
            places = np.arange(len(values)) if usable is None else np.flatnonzero(usable[:, column])
            walk = _Walk(float(before[column]), int(before_ns[column]), *self._levels.pop(column, (np.nan, 0)))
            for place in places.tolist():
                masked[place, column], evident[place, column] = walk.step(
                    float(values[place, column]), int(rows.talk_ns[place]), float(self._max[column]), self._period_ns
                )
            self._believed[column], self._believed_ns[column] = walk.believed, walk.believed_ns
            if walk.held:
                self._levels[column] = (walk.level, walk.held)
        return [Finding(Fault.JUMPED, self._columns, masked, evident)] if odd else []


@dataclass(slots=True)
class _Walk:
    """One channel, value by value."""

    believed: float
    believed_ns: int
    level: float
    held: int

    def step(self, value: float, time_ns: int, most: float, period_ns: float) -> tuple[bool, bool]:
        """Whether this value is not to be believed, and whether it shows that the level jumped to did not hold."""
        periods = max(1.0, (time_ns - self.believed_ns) / period_ns)
        jumped_before = self.held > 0
        if not abs(value - self.believed) > most * periods:  # true of the first one, which has nothing before it
            self.believed, self.believed_ns, self.held = value, time_ns, 0
            return False, jumped_before
        holds = jumped_before and abs(value - self.level) <= most
        self.level, self.held = value, self.held + 1 if holds else 1
        if self.held == STAYS:
            self.believed, self.believed_ns, self.held = value, time_ns, 0
            return False, False
        return True, jumped_before and not holds


def _last_ns(talk_ns: Int64Array, usable: BoolArray | None, before_ns: Int64Array) -> Int64Array:
    """When each channel's last usable value came."""
    if usable is None:
        return np.full(len(before_ns), talk_ns[-1])
    return np.asarray(np.maximum(np.where(usable, talk_ns[:, None], -1).max(axis=0), before_ns))

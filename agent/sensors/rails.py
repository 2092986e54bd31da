"""Clipped: a value that stays at the end of what the converter can show; one touch alone may be the machine's doing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.sensors.faults import Fault
from agent.sensors.rows import Columns, Finding, Rows, latest, shifted


class Rails:
    """Finds values at a rail that follow another at the same one."""

    def __init__(self, columns: Columns, rails: Sequence[tuple[float, float]], steps: Sequence[float | None]) -> None:
        """`rails` (lowest, highest) and `steps` are those of `columns`."""
        self._columns = columns
        tolerance = np.array(
            [(step or 0.0) / 2 + 1e-6 * (high - low) for step, (low, high) in zip(steps, rails, strict=True)]
        )
        self._low = np.array([low for low, _ in rails]) + tolerance
        self._high = np.array([high for _, high in rails]) - tolerance
        self._last = np.zeros(len(columns))

    def judge(self, rows: Rows) -> list[Finding]:
        """The values that stay at a rail."""
        values, usable = rows.pick(self._columns)
        side = (values >= self._high).astype(np.float64) - (values <= self._low)
        known = latest(side, usable, self._last)
        clipped = (side != 0) & (side == shifted(known, self._last))
        if usable is not None:
            clipped &= usable
        self._last = known[-1]
        return [Finding(Fault.CLIPPED, self._columns, clipped, clipped)] if clipped.any() else []

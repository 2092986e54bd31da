"""Disagreement: channels that measure one thing, or a thing of known size, whose means over a block lie too far apart."""

from __future__ import annotations

import numpy as np

from agent.decode.schema import AgreeRule
from agent.sensors.faults import Fault
from agent.sensors.rows import Columns, Finding, Rows


class Agreement:
    """Judges one rule on every full block of rows; the verdict holds until the next one."""

    def __init__(self, columns: Columns, rule: AgreeRule, block: int) -> None:
        """`columns` are the rule's channels; `block` is how many rows are judged at once."""
        self._columns = columns
        self._within = rule.within
        self._norm = rule.norm
        self._block = np.zeros((block, len(columns)))
        self._there = np.zeros((block, len(columns)), np.bool_)
        self._filled = 0
        self._apart = np.zeros(len(columns), np.bool_)

    def judge(self, rows: Rows) -> list[Finding]:
        """The values of channels that disagree."""
        values, usable = rows.pick(self._columns)
        masked = np.zeros(values.shape, np.bool_)
        start = 0
        while start < len(values):
            end = min(len(values), start + len(self._block) - self._filled)
            into = slice(self._filled, self._filled + end - start)
            there = True if usable is None else usable[start:end]
            self._block[into] = np.where(there, values[start:end], 0.0)
            self._there[into] = there
            masked[start:end] = self._apart & there
            self._filled += end - start
            if self._filled == len(self._block):
                self._filled = 0
                self._conclude()
            start = end
        return [Finding(Fault.DISAGREES, self._columns, masked, masked)] if masked.any() else []

    def _conclude(self) -> None:
        """Without a value of some channel in the whole block, the verdict stands."""
        count = self._there.sum(axis=0)
        if not count.all():
            return
        means = self._block.sum(axis=0) / count
        if self._norm is not None:
            self._apart[:] = abs(np.sqrt(np.square(means).sum()) - self._norm) > self._within
        elif len(means) == 2:
            self._apart[:] = abs(means[0] - means[1]) > self._within
        else:
            self._apart = np.abs(means - np.median(means)) > self._within

"""Quiet and coarse: the noise, or the grid, of a channel's values over a block is not what its sensor has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.sensors.faults import Fault
from agent.sensors.limits import Limits
from agent.sensors.rows import BoolArray, Columns, Finding, Float64Array, Rows

# Differences of white noise have twice its variance. Their mean square over 64 values strays by a sixth at most, so that below 0.3 of the stated
# noise is far out of chance's reach, and any movement of the machine only makes them larger.
_QUIET = 0.3
# Noise on a sound grid moves by an odd number of steps every other time; so many even moves in a row come by chance once in 4e9.
_EVEN_MOVES = 32


class Texture:
    """Judges every full block of values of each channel; a verdict holds until the next one."""

    def __init__(self, columns: Columns, limits: Sequence[Limits], block: int) -> None:
        """`limits` are those of `columns`, all dithered; `block` is how many values are judged at once."""
        self._columns = columns
        self._noise = np.array([limit.noise for limit in limits], dtype=np.float64)
        self._steps = np.array([limit.step for limit in limits], dtype=np.float64)
        self._block = np.zeros((block, len(columns)))
        self._filled = np.zeros(len(columns), np.intp)
        self._quiet = np.zeros(len(columns), np.bool_)
        self._coarse = np.zeros(len(columns), np.bool_)
        self._divisor = np.zeros(len(columns), np.int64)  # of all moves since the last verdict on the grid
        self._moves = np.zeros(len(columns), np.int64)

    def judge(self, rows: Rows) -> list[Finding]:
        """The values of channels whose verdict is bad."""
        values, usable = rows.pick(self._columns)
        if rows.resting is not None and (resting := rows.resting[:, self._columns]).any():
            usable = ~resting if usable is None else usable & ~resting
        quiet, coarse = np.zeros(values.shape, np.bool_), np.zeros(values.shape, np.bool_)
        whole = np.arange(len(self._columns))
        if usable is None and (self._filled == self._filled[0]).all():
            self._take(whole, np.arange(len(values)), values, quiet, coarse)
        else:
            for column in whole:
                places = np.arange(len(values)) if usable is None else np.flatnonzero(usable[:, column])
                only = whole[column : column + 1]
                self._take(only, places, values[places, column : column + 1], quiet, coarse)
        found = ((Fault.QUIET, quiet), (Fault.COARSE, coarse))
        return [Finding(fault, self._columns, masked, masked) for fault, masked in found if masked.any()]

    def _take(
        self, chosen: Columns, places: npt.NDArray[np.intp], values: Float64Array, quiet: BoolArray, coarse: BoolArray
    ) -> None:
        """Put values [m, chosen], which stand at `places` of the batch, into the block, and judge it each time it is full."""
        start = 0
        while start < len(values):
            filled = int(self._filled[chosen[0]])
            end = min(len(values), start + len(self._block) - filled)
            self._block[filled : filled + end - start, chosen] = values[start:end]
            for verdict, masked in ((self._quiet, quiet), (self._coarse, coarse)):
                if verdict[chosen].any():
                    masked[np.ix_(places[start:end], chosen)] = verdict[chosen]
            self._filled[chosen] += end - start
            if self._filled[chosen[0]] == len(self._block):
                self._filled[chosen] = 0
                self._conclude(chosen)
            start = end

    def _conclude(self, chosen: Columns) -> None:
        moves = np.diff(self._block[:, chosen], axis=0)
        self._quiet[chosen] = np.square(moves).mean(axis=0) < 2 * np.square(_QUIET * self._noise[chosen])
        steps = np.abs(np.rint(moves / self._steps[chosen])).clip(max=1 << 53).astype(np.int64)
        single = (steps == 1).any(axis=0)
        for index, column in enumerate(chosen.tolist()):
            divisor = 1 if single[index] else int(np.gcd.reduce(steps[:, index], initial=self._divisor[column]))
            moved = int(self._moves[column] + np.count_nonzero(steps[:, index]))
            if divisor == 1 or moved >= _EVEN_MOVES:
                self._coarse[column] = divisor > 1
                divisor = moved = 0
            self._divisor[column], self._moves[column] = divisor, moved

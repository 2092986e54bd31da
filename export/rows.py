"""Rows as a source of data holds them, before anything is judged: times, raw numbers, labels, and what the cells said instead of numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from agent.types import Int64Array

Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Cells:
    """What stood in one channel's cells in the place of numbers: words and how often, empty cells, infinities."""

    text: Counter[str] = field(default_factory=Counter)
    blank: int = 0
    non_finite: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class RawRows:
    """t_ns int64 [n] in the order of the source; raw float64 [n, columns], NaN where a cell holds no number; labels int64 [n] or None.

    `channels` are the data set's that the columns belong to, `cells` what each of them held besides. `stamped` is False where times only
    count rows; `untimed` rows had no time and were left out. With `piece_ns`
    the rows are pieces of that length, between which time passed that nobody measured.
    """

    t_ns: Int64Array
    raw: Float64Array
    labels: Int64Array | None
    channels: tuple[int, ...]
    cells: tuple[Cells, ...]
    rate_hz: float
    stamped: bool = False
    untimed: int = 0
    max_step_ns: int = 1 << 62
    disorder_ns: int = 0
    piece_ns: int | None = None

    def __len__(self) -> int:
        """Rows."""
        return len(self.t_ns)

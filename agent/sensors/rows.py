"""The rows of one batch as the rules see them, and what a rule finds in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.sensors.faults import Fault
from agent.types import Int64Array

BoolArray = npt.NDArray[np.bool_]
Float64Array = npt.NDArray[np.float64]
Columns = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Values float64 [n, channels]; `usable` bool [n, channels] says which are there and not found bad yet, None where all are.

    `resting` bool [n, channels] are those at which their channel may stay for ever, None where no channel has any; `talk_ns` int64 [n] is the device's talk time: event time without its silences, never going back.
    """

    talk_ns: Int64Array
    values: Float64Array
    usable: BoolArray | None
    resting: BoolArray | None

    def pick(self, columns: Columns) -> tuple[Float64Array, BoolArray | None]:
        """Values and usability of some channels."""
        return self.values[:, columns], None if self.usable is None else self.usable[:, columns]


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """`masked` bool [n, columns]: the values not to be believed; `evident`: those at which the fault shows itself."""

    fault: Fault
    columns: Columns
    masked: BoolArray
    evident: BoolArray


def latest(values: npt.NDArray[np.float64], usable: BoolArray | None, before: Float64Array) -> Float64Array:
    """The latest usable value [n, k] at each row, its own included; `before` [k] is the one before the first row."""
    if usable is None:
        return values
    places = np.where(usable, np.arange(1, len(values) + 1)[:, None], 0)
    extended = np.concatenate([before[None], values])
    return np.asarray(np.take_along_axis(extended, np.maximum.accumulate(places), axis=0))


def shifted(values: Float64Array, before: Float64Array) -> Float64Array:
    """Each row's predecessor [n, k]."""
    return np.concatenate([before[None], values[:-1]])

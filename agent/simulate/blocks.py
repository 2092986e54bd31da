"""Models make blocks of one size, whoever asks for how much: so the same seed gives the same signal however it is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]

BLOCK = 1_024


class Quantity(NamedTuple):
    """Something physical that a model gives, with its UCUM unit."""

    name: str
    unit: str


class Model(Protocol):
    """Physics: `block` is called for t float64 [BLOCK], seconds from the first sample, block after block."""

    @property
    def quantities(self) -> Sequence[Quantity]: ...

    def block(self, t_s: Float64Array) -> Float64Array:
        """Values float64 [BLOCK, quantities] in their units."""
        ...


class Blocks:
    """Reads a model, any number of samples at a time."""

    def __init__(self, model: Model, rate_hz: float) -> None:
        self._model = model
        self._rate_hz = rate_hz
        self._made = 0
        self._rest = np.empty((0, len(model.quantities)))

    def read(self, count: int) -> Float64Array:
        """The next `count` samples, float64 [count, quantities]."""
        parts, left = [self._rest], count - len(self._rest)
        while left > 0:
            parts.append(self._model.block((self._made + np.arange(BLOCK)) / self._rate_hz))
            self._made += BLOCK
            left -= BLOCK
        whole = np.concatenate(parts)
        self._rest = whole[count:]
        return whole[:count]


class Wander:
    """A slow random walk around zero with standard deviation `deviation` that forgets in `memory_s`.

    An Ornstein-Uhlenbeck process seen once a block, with straight lines between.
    """

    def __init__(self, random: np.random.Generator, deviation: float, memory_s: float, block_s: float) -> None:
        self._random = random
        self._deviation = deviation
        self._kept = math.exp(-block_s / memory_s)
        self._last = deviation * random.standard_normal()

    def block(self) -> Float64Array:
        """The next BLOCK values."""
        noise = self._deviation * math.sqrt(1 - self._kept**2) * self._random.standard_normal()
        following = self._kept * self._last + noise
        values = self._last + (following - self._last) * np.arange(BLOCK) / BLOCK
        self._last = following
        return values


class Lag:
    """A first-order lag, as of temperature behind its cause; the cause is taken as constant within a block."""

    def __init__(self, start: float, time_constant_s: float, rate_hz: float) -> None:
        self._value = start
        self._decay = np.exp(-np.arange(1, BLOCK + 1) / (rate_hz * time_constant_s))

    def block(self, cause: Float64Array) -> Float64Array:
        """Values float64 [BLOCK] on the way to `cause`."""
        target = float(cause.mean())
        values: Float64Array = target + (self._value - target) * self._decay
        self._value = float(values[-1])
        return values

"""Which quantity of a model feeds which channel of a profile, and the factor between their units."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from agent.decode.schema import Channel
from agent.errors import ConfigError, Problem
from agent.simulate.blocks import Float64Array, Quantity

# UCUM unit: dimension, and the factor and offset to that dimension's base unit (SI, but degrees Celsius and turns a minute).
_UNITS: dict[str, tuple[str, float, float]] = {
    "m/s2": ("acceleration", 1.0, 0.0),
    "[g]": ("acceleration", 9.80665, 0.0),
    "m[g]": ("acceleration", 9.80665e-3, 0.0),
    "m/s": ("velocity", 1.0, 0.0),
    "mm/s": ("velocity", 1e-3, 0.0),
    "Pa": ("pressure", 1.0, 0.0),
    "hPa": ("pressure", 1e2, 0.0),
    "kPa": ("pressure", 1e3, 0.0),
    "MPa": ("pressure", 1e6, 0.0),
    "mbar": ("pressure", 1e2, 0.0),
    "bar": ("pressure", 1e5, 0.0),
    "[psi]": ("pressure", 6_894.757293168, 0.0),
    "m3/s": ("flow", 1.0, 0.0),
    "m3/h": ("flow", 1 / 3_600, 0.0),
    "L/s": ("flow", 1e-3, 0.0),
    "L/min": ("flow", 1 / 60_000, 0.0),
    "L/h": ("flow", 1 / 3_600_000, 0.0),
    "/min": ("speed", 1.0, 0.0),
    "{rpm}": ("speed", 1.0, 0.0),
    "A": ("current", 1.0, 0.0),
    "mA": ("current", 1e-3, 0.0),
    "Cel": ("temperature", 1.0, 0.0),
    "K": ("temperature", 1.0, -273.15),
    "[degF]": ("temperature", 5 / 9, -160 / 9),
    "V": ("voltage", 1.0, 0.0),
    "mV": ("voltage", 1e-3, 0.0),
    "kV": ("voltage", 1e3, 0.0),
    "W": ("power", 1.0, 0.0),
    "kW": ("power", 1e3, 0.0),
}


class Feed:
    """Turns values of a model's quantities into those of a profile's channels.

    A channel is fed by the quantity whose name is a word of the channel's name, else by the first one, of those that measure
    the same as the channel's unit says; several channels may share a quantity. Raises ConfigError for channels that none feeds.
    """

    def __init__(self, channels: Sequence[Channel], quantities: Sequence[Quantity], model: str) -> None:
        found = [_quantity(channel, quantities) for channel in channels]
        if problems := [
            _unfed(channel, quantities, model) for channel, index in zip(channels, found, strict=True) if index is None
        ]:
            raise ConfigError(problems)
        self._columns = [index for index in found if index is not None]
        units = [
            (_UNITS[quantities[column].unit], _UNITS[c.unit]) for c, column in zip(channels, self._columns, strict=True)
        ]
        self._scale = np.array([given[1] / wanted[1] for given, wanted in units])
        self._offset = np.array([(given[2] - wanted[2]) / wanted[1] for given, wanted in units])

    def apply(self, values: Float64Array) -> Float64Array:
        """Values float64 [n, quantities] as [n, channels] in the channels' units."""
        fed: Float64Array = values[:, self._columns] * self._scale + self._offset
        return fed


def _quantity(channel: Channel, quantities: Sequence[Quantity]) -> int | None:
    dimension = _UNITS.get(channel.unit, ("",))[0]
    alike = [index for index, quantity in enumerate(quantities) if _UNITS[quantity.unit][0] == dimension]
    words = re.split(r"[^a-z]+", channel.name.lower())
    named = [index for index in alike if quantities[index].name in words]
    return next(iter([*named, *alike]), None)


def _unfed(channel: Channel, quantities: Sequence[Quantity], model: str) -> Problem:
    known = ", ".join(f"{quantity.name} ({quantity.unit})" for quantity in quantities)
    what = f"the model '{model}' has nothing in '{channel.unit}' for the channel '{channel.name}'; it gives {known}"
    return Problem(f"--model {model}", what, "feed this profile from --data, or leave --model out")

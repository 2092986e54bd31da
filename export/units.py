"""UCUM units that are a line apart: what turns a column's unit into the channel's; any other pair is an error."""

from __future__ import annotations

import math

# dimension: unit -> (scale, offset) to the dimension's first unit: first = unit * scale + offset
_LINES: dict[str, dict[str, tuple[float, float]]] = {
    "temperature": {"K": (1.0, 0.0), "Cel": (1.0, 273.15), "[degF]": (5 / 9, 459.67 * 5 / 9)},
}
# dimension: unit -> how many of the dimension's first unit it is
_FACTORS: dict[str, dict[str, float]] = {
    "ratio": {"1": 1, "%": 0.01, "[ppth]": 1e-3, "[ppm]": 1e-6, "[ppb]": 1e-9},
    "time": {"s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60, "h": 3_600, "d": 86_400},
    "length": {"m": 1, "km": 1e3, "cm": 0.01, "mm": 1e-3, "um": 1e-6, "[in_i]": 0.0254, "[ft_i]": 0.3048},
    "angle": {"rad": 1, "deg": math.pi / 180, "mrad": 1e-3},
    "velocity": {"m/s": 1, "mm/s": 1e-3, "cm/s": 0.01, "km/h": 1 / 3.6, "[in_i]/s": 0.0254, "[ft_i]/s": 0.3048},
    "acceleration": {"m/s2": 1, "mm/s2": 1e-3, "[g]": 9.80665, "m[g]": 9.80665e-3},
    "frequency": {"Hz": 1, "kHz": 1e3, "MHz": 1e6, "/s": 1, "/min": 1 / 60, "/h": 1 / 3_600},
    "angular velocity": {"rad/s": 1, "deg/s": math.pi / 180},
    "pressure": {
        "Pa": 1,
        "hPa": 100,
        "kPa": 1e3,
        "MPa": 1e6,
        "bar": 1e5,
        "mbar": 100,
        "atm": 101_325,
        "[psi]": 6_894.757293168361,
        "mm[Hg]": 133.322,
    },
    "volume": {"m3": 1, "L": 1e-3, "l": 1e-3, "dL": 1e-4, "mL": 1e-6, "ml": 1e-6, "[gal_us]": 3.785411784e-3},
    "volume flow": {
        "m3/s": 1,
        "m3/min": 1 / 60,
        "m3/h": 1 / 3_600,
        "10*3.m3/h": 1 / 3.6,
        "L/s": 1e-3,
        "l/s": 1e-3,
        "L/min": 1e-3 / 60,
        "l/min": 1e-3 / 60,
        "L/h": 1e-3 / 3_600,
        "l/h": 1e-3 / 3_600,
        "[gal_us]/min": 3.785411784e-3 / 60,
    },
    "mass": {"kg": 1, "g": 1e-3, "mg": 1e-6, "t": 1e3, "[lb_av]": 0.45359237},
    "mass flow": {"kg/s": 1, "kg/min": 1 / 60, "kg/h": 1 / 3_600, "t/h": 1 / 3.6, "g/s": 1e-3},
    "mass concentration": {"kg/m3": 1, "g/m3": 1e-3, "mg/m3": 1e-6, "ug/m3": 1e-9, "g/L": 1, "mg/L": 1e-3},
    "force": {"N": 1, "kN": 1e3, "mN": 1e-3, "[lbf_av]": 4.4482216152605},
    "torque": {"N.m": 1, "kN.m": 1e3, "mN.m": 1e-3},
    "current": {"A": 1, "mA": 1e-3, "uA": 1e-6, "kA": 1e3},
    "voltage": {"V": 1, "mV": 1e-3, "uV": 1e-6, "kV": 1e3},
    "resistance": {"Ohm": 1, "mOhm": 1e-3, "kOhm": 1e3, "MOhm": 1e6},
    "power": {"W": 1, "mW": 1e-3, "kW": 1e3, "MW": 1e6, "[HP]": 745.69987158227022},
    "apparent power": {"V.A": 1, "kV.A": 1e3, "MV.A": 1e6},
    "energy": {"J": 1, "kJ": 1e3, "MJ": 1e6, "W.h": 3_600, "kW.h": 3.6e6, "MW.h": 3.6e9},
}
_LINES |= {dimension: {unit: (factor, 0.0) for unit, factor in units.items()} for dimension, units in _FACTORS.items()}


def conversion(source: str, target: str) -> tuple[float, float]:
    """Scale and offset with which target = source * scale + offset; raises ValueError where there is no such line."""
    if source == target:
        return 1.0, 0.0
    for units in _LINES.values():
        if source in units and target in units:
            (scale, offset), (to_scale, to_offset) = units[source], units[target]
            return scale / to_scale, (offset - to_offset) / to_scale
    raise ValueError(f"'{source}' cannot be converted to '{target}'")


def alike(unit: str) -> tuple[str, ...]:
    """Every unit that `unit` can be converted to or from; empty for one that is not known."""
    return next((tuple(units) for units in _LINES.values() if unit in units), ())

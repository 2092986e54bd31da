"""The Tennessee Eastman process as the wheel `bibmon` carries it: one normal run to learn, one to calibrate, 21 with a fault."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from agent.errors import ConfigError, Problem
from agent.types import NANOSECONDS, Float32Array

ROW_NS = 180 * NANOSECONDS  # the public files hold a row every three minutes
CHANNELS = 52
ONSET_ROW = 160  # in every faulty run the fault begins after eight hours
FAULTS = range(1, 22)

# Downs and Vogel 1993, table 8: the disturbances that the model's authors defined; they left 16 to 20 unknown.
DISTURBANCES = {
    1: "A/C feed ratio, step",
    2: "B composition, step",
    3: "D feed temperature, step",
    4: "reactor cooling water inlet temperature, step",
    5: "condenser cooling water inlet temperature, step",
    6: "A feed loss, step",
    7: "C header pressure loss, step",
    8: "A, B, C feed composition, random variation",
    9: "D feed temperature, random variation",
    10: "C feed temperature, random variation",
    11: "reactor cooling water inlet temperature, random variation",
    12: "condenser cooling water inlet temperature, random variation",
    13: "reaction kinetics, slow drift",
    14: "reactor cooling water valve, sticking",
    15: "condenser cooling water valve, sticking",
}


def normal_runs() -> tuple[Float32Array, Float32Array]:
    """Two separate runs of normal operation, float32 [500, 52] and [960, 52]; raises ConfigError where the data is missing."""
    # Alone among the files, d00.dat has its channels in rows.
    return _read("d00.dat").T, _read("d00_te.dat")


def faulty_run(fault: int) -> Float32Array:
    """float32 [960, 52], normal up to ONSET_ROW, then disturbance `fault`; raises ConfigError where the data is missing."""
    return _read(f"d{fault:02d}_te.dat")


def describe(fault: int) -> str:
    """What disturbs the process."""
    return DISTURBANCES.get(fault, "unknown to its authors")


def _read(name: str) -> Float32Array:
    # Found, not imported: importing bibmon would need its many dependencies.
    spec = importlib.util.find_spec("bibmon")
    if spec is None or not spec.submodule_search_locations:
        remedy = "run: pip install --no-deps bibmon==1.2.0"
        raise ConfigError([Problem("demo", "its data, the wheel bibmon, is not installed", remedy)])
    return np.loadtxt(Path(spec.submodule_search_locations[0]) / "tennessee_eastman" / name, dtype=np.float32)

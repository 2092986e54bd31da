"""A motor on rolling bearings: shaft orders, and what a defect of the bearing does to the vibration of its housing."""

from __future__ import annotations

import math

import numpy as np

from agent.simulate.bearing import SKF_6205, Bearing
from agent.simulate.blocks import BLOCK, Float64Array, Lag, Quantity, Wander
from agent.simulate.schedule import Schedule

SHAFT_PER_MIN = 1_797.0
# Below this many samples a shaft turn the strikes of a bearing, 3 to 5 a turn, alias.
LEAST_SAMPLES_A_TURN = 12

_STRIKE_G = 0.6
_SLIP = 0.01  # standard deviation of the time between strikes: rolling elements slip, so strikes are not quite periodic
_DAMPING = 0.05
_LOUD_RESONANCE_HZ = 3_000.0


class Motor:
    """x and y radial, z axial and pointing up, so that it carries gravity; temperature of the bearing, current and speed."""

    quantities = (
        Quantity("x", "[g]"),
        Quantity("y", "[g]"),
        Quantity("z", "[g]"),
        Quantity("temperature", "Cel"),
        Quantity("current", "A"),
        Quantity("speed", "/min"),
        Quantity("voltage", "V"),
    )

    def __init__(self, rate_hz: float, seed: int, schedule: Schedule, bearing: Bearing = SKF_6205) -> None:
        """Raises ValueError where `rate_hz` is too low for the bearing's strikes."""
        if rate_hz * 60 / SHAFT_PER_MIN < LEAST_SAMPLES_A_TURN:
            least = LEAST_SAMPLES_A_TURN * SHAFT_PER_MIN / 60
            raise ValueError(f"a motor's vibration needs {least:.0f} Hz or more, the profile has {rate_hz:g} Hz")
        noise, speed, load, outer, inner, ball = (np.random.default_rng([seed, part]) for part in range(6))
        self._schedule = schedule
        self._noise = noise
        self._rate_hz = rate_hz
        self._turns = 0.0
        self._speed = Wander(speed, 3.0, 5.0, BLOCK / rate_hz)
        self._load = Wander(load, 0.03, 20.0, BLOCK / rate_hz)
        self._temperature = Lag(40.0, 300.0, rate_hz)
        self._strikes = {
            "bearing-outer": _Strikes(outer, bearing.bpfo, rate_hz),
            # The defect passes the loaded zone once a shaft turn.
            "bearing-inner": _Strikes(inner, bearing.bpfi, rate_hz, loaded_each=1.0),
            # The ball strikes both races in each of its turns, and passes the loaded zone with the cage.
            "bearing-ball": _Strikes(ball, 2 * bearing.bsf, rate_hz, loaded_each=bearing.ftf),
        }

    def block(self, t_s: Float64Array) -> Float64Array:
        """Values float64 [BLOCK, quantities]."""
        speed = SHAFT_PER_MIN + self._speed.block()
        turns = self._turns + np.cumsum(speed) / 60 / self._rate_hz
        angle = 2 * np.pi * turns
        imbalance = 0.02 + 0.2 * self._schedule.level("imbalance", t_s)
        misalignment = 0.008 + 0.15 * self._schedule.level("misalignment", t_s)
        levels = {kind: self._schedule.level(kind, t_s) for kind in self._strikes}
        ringing = sum(strikes.block(turns, self._turns, levels[kind]) for kind, strikes in self._strikes.items())
        self._turns = float(turns[-1])
        noise = self._noise.standard_normal((BLOCK, 5))
        load = 1 + self._load.block()
        friction = np.max(list(levels.values()), axis=0)
        return np.column_stack(
            [
                imbalance * np.cos(angle) + misalignment * np.cos(2 * angle) + ringing + 0.01 * noise[:, 0],
                imbalance * np.sin(angle) + 0.5 * misalignment * np.sin(2 * angle) + 0.5 * ringing + 0.01 * noise[:, 1],
                1.0 + misalignment * np.cos(2 * angle + 0.6) + 0.2 * ringing + 0.01 * noise[:, 2],
                self._temperature.block(25 + 25 * load + 10 * friction) + 0.05 * noise[:, 3],
                8.0 * load * (1 + 0.02 * friction) + 0.02 * noise[:, 4],
                speed,
                400.0 - 4.0 * load,
            ]
        )


class _Strikes:
    """A train of strikes, each of which lets the housing ring at its resonance.

    It runs whether or not there is a defect, so that a fault changes nothing before it begins.
    """

    def __init__(self, random: np.random.Generator, each_turn: float, rate_hz: float, loaded_each: float = 0.0) -> None:
        self._random = random
        self._spacing = 1 / each_turn  # in shaft turns
        self._loaded_each = loaded_each  # load cycles a shaft turn; zero for a defect that always bears the load
        self._next = self._spacing * random.uniform()
        self._rate_hz = rate_hz
        self._resonance_hz = min(_LOUD_RESONANCE_HZ, 0.35 * rate_hz)
        self._decay_hz = 2 * np.pi * self._resonance_hz * _DAMPING
        self._length = math.ceil(8 / self._decay_hz * rate_hz)
        self._tail = np.zeros(self._length)

    def block(self, turns: Float64Array, turns_before: float, level: Float64Array) -> Float64Array:
        """The ringing float64 [BLOCK] while the shaft goes through `turns`, with the defect's size at each sample."""
        out = np.zeros(BLOCK + self._length)
        out[: self._length] = self._tail
        struck = self._until(float(turns[-1]))
        # In samples of this block; the shaft was at `turns_before` one sample before the first.
        at = np.interp(struck, np.concatenate(([turns_before], turns)), np.arange(-1.0, BLOCK))
        first = np.clip(np.ceil(at).astype(int), 0, BLOCK - 1)
        size = _STRIKE_G * level[first] * (1 + 0.1 * self._random.standard_normal(len(struck)))
        if self._loaded_each:
            size *= (1 + np.cos(2 * np.pi * self._loaded_each * struck)) / 2
        where = first[:, None] + np.arange(self._length)
        since_s = np.maximum(where - at[:, None], 0) / self._rate_hz
        rings = np.exp(-self._decay_hz * since_s) * np.sin(2 * np.pi * self._resonance_hz * since_s)
        np.add.at(out, where, size[:, None] * rings)
        self._tail = out[BLOCK:]
        return out[:BLOCK]

    def _until(self, turns: float) -> Float64Array:
        """The next strikes, in shaft turns."""
        struck = []
        while self._next <= turns:
            struck.append(self._next)
            self._next += self._spacing * (1 + _SLIP * self._random.standard_normal())
        return np.array(struck, dtype=np.float64)

"""A centrifugal pump in a closed loop: pressure, flow, speed, current, temperature and vibration that follow each other.

At speed n the pump gives p = p0 n² - k Q² (affinity laws), the loop takes p = r Q²; the motor's current follows the power p Q.
"""

from __future__ import annotations

import numpy as np

from agent.simulate.blocks import BLOCK, Float64Array, Lag, Quantity, Wander
from agent.simulate.schedule import Schedule

RATED_PER_MIN = 2_900.0
_SHUT_OFF_BAR = 6.0
_PUMP_BAR = 2.0  # lost inside the pump at the rated flow
_LOOP_BAR = 4.0  # lost in the loop at the rated flow
_RATED_L_PER_MIN = 200.0
_CLOGS_IN_S = 60.0


class Pump:
    """Rated at 4 bar and 200 L/min; vibration is the velocity of the housing, root mean square over 10 to 1,000 Hz (ISO 20816)."""

    quantities = (
        Quantity("pressure", "bar"),
        Quantity("flow", "L/min"),
        Quantity("speed", "/min"),
        Quantity("current", "A"),
        Quantity("temperature", "Cel"),
        Quantity("vibration", "mm/s"),
        Quantity("voltage", "V"),
        Quantity("power", "W"),
    )

    def __init__(self, rate_hz: float, seed: int, schedule: Schedule) -> None:
        noise, speed, demand = (np.random.default_rng([seed, part]) for part in range(3))
        self._schedule = schedule
        self._noise = noise
        self._speed = Wander(speed, 0.004, 30.0, BLOCK / rate_hz)
        self._demand = Wander(demand, 0.08, 120.0, BLOCK / rate_hz)
        self._temperature = Lag(45.0, 600.0, rate_hz)

    def block(self, t_s: Float64Array) -> Float64Array:
        """Values float64 [BLOCK, quantities]."""
        cavitation = self._schedule.level("cavitation", t_s)
        clog = self._schedule.level("blocked-filter", t_s, _CLOGS_IN_S)
        imbalance = self._schedule.level("imbalance", t_s)
        noise = self._noise.standard_normal((BLOCK, 7))
        speed = 1 + self._speed.block()
        # A valve that closes, or a filter that clogs, is a loop that takes more pressure for the same flow.
        before, loop = 3 * _LOOP_BAR * clog, _LOOP_BAR * np.exp(-2 * self._demand.block())
        flow = np.sqrt(_SHUT_OFF_BAR * speed**2 / (_PUMP_BAR + before + loop))
        # Vapour takes the place of water: less flow and head, and both unsteady.
        flow = flow * (1 - cavitation * (0.15 + 0.05 * noise[:, 0]))
        pressure = loop * flow**2 * (1 - cavitation * (0.1 + 0.08 * noise[:, 1]))
        power = 1_300 + 900 * flow * speed**2
        current = power / 560 * (1 + 0.01 * cavitation * noise[:, 2])
        warming = 25 + 20 * power / 2_200 + 15 * clog
        vibration = 1.8 * speed**2 + 5.0 * imbalance + cavitation * (3.0 + 0.8 * noise[:, 5])
        return np.column_stack(
            [
                pressure + 0.01 * noise[:, 3],
                _RATED_L_PER_MIN * flow + 0.5 * noise[:, 4],
                RATED_PER_MIN * speed,
                current + 0.02 * noise[:, 2],
                self._temperature.block(warming) + 0.05 * noise[:, 6],
                np.abs(vibration + 0.08 * noise[:, 5]),
                400.0 - 0.8 * current,
                power,
            ]
        )

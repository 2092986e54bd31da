"""Faults of a sensor, put upon its values: stuck, drifting, spiking, clipping."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.decode.schema import Channel
from agent.errors import ConfigError, Problem
from agent.simulate.blocks import Float64Array
from agent.simulate.schedule import SENSOR, Fault, Schedule
from agent.toml_structs import nearest
from agent.types import NANOSECONDS

_DRIFT_A_MINUTE = 0.1  # of the channel's range
_SPIKE_SHARE = 0.01  # of the samples
_SPIKE_SIZE = 0.4  # of the range
_CLIPPING_GAIN = 20.0


class SensorFaults:
    """Applies the schedule's sensor faults to consecutive samples; raises ConfigError for a channel that is not there."""

    def __init__(self, schedule: Schedule, channels: Sequence[Channel], rate_hz: float, seed: int) -> None:
        names = [channel.name for channel in channels]
        faults = schedule.of(*SENSOR)
        problems = [
            Problem(f"--fault {fault.kind}:{fault.channel}", "there is no such channel", nearest(fault.channel, names))
            for fault in faults
            if fault.channel is not None and fault.channel not in names
        ]
        if problems:
            raise ConfigError(problems)
        self._faults = [
            (fault, index) for fault in faults for index, name in enumerate(names) if fault.channel in (None, name)
        ]
        self._ranges = [_range(channel) for channel in channels]
        self._rate_hz = rate_hz
        self._random = np.random.default_rng([seed, 1_000])
        self._held: dict[tuple[Fault, int], float] = {}
        self._count = 0

    def apply(self, values: Float64Array) -> Float64Array:
        """The next values float64 [n, channels] as the broken sensors give them."""
        broken = values.copy()
        t_ns = np.rint((self._count + np.arange(len(values))) * (NANOSECONDS / self._rate_hz))
        chance = self._random.random(values.shape)
        self._count += len(values)
        for fault, index in self._faults:
            lasting = np.flatnonzero((t_ns >= fault.start_ns) & (t_ns < fault.end_ns))
            if len(lasting):
                column = broken[:, index]
                column[lasting] = self._broken(fault, index, column[lasting], t_ns[lasting], chance[lasting, index])
        return broken

    def _broken(
        self, fault: Fault, index: int, values: Float64Array, t_ns: Float64Array, chance: Float64Array
    ) -> Float64Array:
        lowest, highest = self._ranges[index]
        span = highest - lowest
        if fault.kind == "stuck":
            return np.full(len(values), self._held.setdefault((fault, index), float(values[0])))
        if fault.kind == "drift":
            return values + _DRIFT_A_MINUTE * span * (t_ns - fault.start_ns) / (60 * NANOSECONDS)
        if fault.kind == "spike":
            return np.where(chance < _SPIKE_SHARE, values + _SPIKE_SIZE * span, values)
        # An amplifier set too high: what it gives stops at the ends of the range.
        middle = (lowest + highest) / 2
        clipped: Float64Array = np.clip(middle + _CLIPPING_GAIN * (values - middle), lowest, highest)
        return clipped


def _range(channel: Channel) -> tuple[float, float]:
    """Where the converter saturates, else what the channel may show, else one unit around zero."""
    if channel.rails is not None:
        return channel.rails
    lowest = -1.0 if channel.minimum is None else channel.minimum
    highest = lowest + 2.0 if channel.maximum is None else channel.maximum
    return lowest, highest

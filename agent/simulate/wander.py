"""What a device without a machine measures: every channel wanders within its own range, and states change now and then."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.decode.schema import Channel
from agent.simulate.blocks import BLOCK, Float64Array, Quantity, Wander

_MEMORY_S = 10.0


class Idle:
    """One quantity a channel, in its unit: around the middle of its range, within a quarter of it."""

    def __init__(self, channels: Sequence[Channel], rate_hz: float, seed: int) -> None:
        self.quantities = [Quantity(channel.name, channel.unit) for channel in channels]
        self._channels = channels
        self._wanders = [
            Wander(np.random.default_rng([seed, index]), 1.0, _MEMORY_S, BLOCK / rate_hz)
            for index in range(len(channels))
        ]
        self._noise = np.random.default_rng([seed, len(channels)])

    def block(self, t_s: Float64Array) -> Float64Array:  # noqa: ARG002 - a model's signature
        noise = self._noise.standard_normal((BLOCK, len(self._channels)))
        slow = np.column_stack([np.tanh(wander.block()) for wander in self._wanders])
        columns = [_column(channel, slow[:, i], noise[:, i]) for i, channel in enumerate(self._channels)]
        return np.column_stack(columns)


def _column(channel: Channel, slow: Float64Array, noise: Float64Array) -> Float64Array:
    if channel.states:
        return np.where(slow > 0, max(channel.states.values()), min(channel.states.values()))
    lowest = channel.minimum if channel.minimum is not None else min(0.0, channel.maximum or 0.0)
    highest = channel.maximum if channel.maximum is not None else max(lowest + 1.0, 1.0)
    middle, quarter = (lowest + highest) / 2, (highest - lowest) / 4
    if channel.noise is not None:  # less would look like a sensor that fails
        return middle + quarter * 0.9 * slow + channel.noise * noise
    return middle + quarter * np.clip(0.9 * slow + 0.02 * noise, -1, 1)

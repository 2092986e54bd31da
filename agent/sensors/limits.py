"""What a profile lets us expect of each channel: its grid, its noise, and how long it may repeat itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

from agent.decode.schema import Channel, Profile

# A channel of Gaussian noise repeats itself so long once in a million values: such values are not believed. Twice as long, once in 1e12: the
# sensor is stuck.
_CHANCE = 1e-6
# Few: a register that is polled faster than the sensor measures repeats too.
_FEWEST_REPEATS = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """`step` is the grid of the values, None where unknown; noise None where it says nothing about them.

    `doubtful_repeats`: after so many repeats of one value the next are not believed; None where repeats mean nothing.
    """

    step: float | None
    noise: float | None
    doubtful_repeats: int | None

    @property
    def is_dithered(self) -> bool:
        """Noise moves the value over its grid all the time, so that it shows when either changes."""
        return self.noise is not None and self.step is not None and self.noise >= self.step


def limits(profile: Profile, channel: Channel) -> Limits:
    """Noise without a known grid proves nothing: a value may repeat because its text is rounded."""
    step = channel.resolution or _integer_step(profile, channel)
    noise = channel.noise or None
    repeats = None if noise is None or step is None else _repeats(noise, step)
    return Limits(step, noise, repeats)


def _repeats(noise: float, step: float) -> int | None:
    """Repeats that have the probability _CHANCE where the mean lies in the middle of a step, the worst place; None below half a step of noise."""
    if noise < step / 2:
        return None
    again = math.erf(step / noise / math.sqrt(8))
    return max(_FEWEST_REPEATS, math.ceil(math.log(_CHANCE) / math.log(again))) if again > 0 else _FEWEST_REPEATS


def _integer_step(profile: Profile, channel: Channel) -> float | None:
    """An integer of a binary record moves in steps of the scale."""
    if profile.binary is None:
        return None
    kinds = {entry.name: entry.type for entry in profile.binary_fields}
    whole = kinds.get(channel.source_field, "u").startswith(("u", "i"))  # bit fields are whole too
    return abs(channel.scale) if whole else None

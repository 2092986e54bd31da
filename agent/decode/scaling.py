"""Raw numbers to engineering units, and what is wrong with each of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.decode.records import FloatArray
from agent.decode.schema import Channel
from agent.types import Float32Array, Quality, QualityArray


class Scaling:
    """Applies scale, offset, invalid codes and ranges of a profile's channels, all channels at once."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._scale = np.array([channel.scale for channel in channels])
        self._offset = np.array([channel.offset for channel in channels])
        self._minimum = np.array([-np.inf if channel.minimum is None else channel.minimum for channel in channels])
        self._maximum = np.array([np.inf if channel.maximum is None else channel.maximum for channel in channels])
        # Each of these is a pass over all values that would change none.
        self._is_unscaled = bool(np.all(self._scale == 1.0) and np.all(self._offset == 0.0))
        self._is_bounded = bool(np.any(np.isfinite(self._minimum)) or np.any(np.isfinite(self._maximum)))
        self._invalid = [(index, channel.invalid) for index, channel in enumerate(channels) if channel.invalid]

    def apply(self, raw: FloatArray) -> tuple[Float32Array, QualityArray]:
        """Values float32 [n, channels] in engineering units and their quality uint8 [n, channels]; `raw` may be spoilt, or be the values.

        An invalid code, NaN, infinity or a value beyond float32 is MISSING and becomes NaN; a value out of range is kept.
        """
        for index, codes in self._invalid:
            raw[np.isin(raw[:, index], codes), index] = np.nan
        engineering = raw if self._is_unscaled else raw * self._scale + self._offset
        with np.errstate(over="ignore", invalid="ignore"):
            values = engineering.astype(np.float32, copy=False)
            if self._is_bounded:
                outside = (engineering < self._minimum) | (engineering > self._maximum)
                quality = outside.view(np.uint8) * np.uint8(Quality.OUT_OF_RANGE)
            else:
                quality = np.zeros(values.shape, dtype=np.uint8)
        finite = np.isfinite(values)
        if not finite.all():
            missing = ~finite
            values[missing] = np.nan
            quality[missing] = Quality.MISSING
        return values, quality

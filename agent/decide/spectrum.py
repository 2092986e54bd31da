"""How strong a signal is between frequencies: root mean square by band."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]


def band_rms(values: npt.NDArray[np.floating], rate_hz: float, edges_hz: Sequence[float]) -> Float64Array:
    """Root mean square [..., bands] of values [..., time] between the edges, under a Hann window, by Parseval."""
    cells = values.shape[-1]
    taper = np.hanning(cells + 2)[1:-1]
    centred = values - values.mean(axis=-1, keepdims=True)
    power = np.abs(np.fft.rfft(centred.astype(np.float64) * taper, axis=-1)) ** 2
    power[..., 1 : cells - power.shape[-1] + 1] *= (
        2  # each but the first, and the last of an even length, stands for two
    )
    hz = np.fft.rfftfreq(cells, 1 / rate_hz)
    sums = [power[..., (hz >= low) & (hz < high)].sum(axis=-1) for low, high in pairwise(edges_hz)]
    rms: Float64Array = np.sqrt(np.stack(sums, axis=-1) / (taper @ taper * cells))
    return rms

"""What normal windows are like, channel by channel: the level and spread to expect, and how strong each frequency band is."""

from __future__ import annotations

import msgspec
import numpy as np

from agent.decide.spectrum import band_rms
from agent.types import Float32Array

_MOST_BANDS = 12


class ChannelBaseline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one channel, in its unit. 98 of 100 normal windows have their mean within `low` and `high`.

    `spread` is the usual standard deviation within a window, and `bands` the usual root mean square in each of the bands of
    `band_edges_hz`.
    """

    low: float
    middle: float
    high: float
    spread: float
    bands: list[float]


class Baseline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of all channels in model order; band k reaches from band_edges_hz[k] to band_edges_hz[k + 1]."""

    band_edges_hz: list[float]
    channels: list[ChannelBaseline]


def band_edges_hz(window: int, rate_hz: float) -> list[float]:
    """Edges of bands of equal ratio from one turn a window to half the rate, each at least a line of the spectrum wide."""
    line_hz = rate_hz / window
    bands = min(_MOST_BANDS, max(1, window // 2))
    edges = np.geomspace(line_hz / 2, rate_hz / 2 + line_hz / 2, bands + 1)
    kept = [float(edges[0])]
    for edge in edges[1:]:
        if edge - kept[-1] >= line_hz:
            kept.append(float(edge))
    return kept if len(kept) > 1 else [float(edges[0]), float(edges[-1])]


def fit(windows: Float32Array, rate_hz: float) -> Baseline:
    """The baseline of normal windows [n, channels, time]."""
    edges_hz = band_edges_hz(windows.shape[2], rate_hz)
    means, spreads = windows.mean(axis=2, dtype=np.float64), windows.std(axis=2, dtype=np.float64)
    low, middle, high = np.quantile(means, [0.01, 0.5, 0.99], axis=0)
    bands = np.median(band_rms(windows, rate_hz, edges_hz), axis=0)
    channels = [
        ChannelBaseline(
            low=float(low[row]),
            middle=float(middle[row]),
            high=float(high[row]),
            spread=float(spread),
            bands=[float(each) for each in bands[row]],
        )
        for row, spread in enumerate(np.median(spreads, axis=0))
    ]
    return Baseline(band_edges_hz=edges_hz, channels=channels)

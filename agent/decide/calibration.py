"""How often normal operation would score this high: the bundle's calibration, as a rate per hour."""

from __future__ import annotations

import msgspec


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Peaks over a threshold on held-out normal data, after declustering (Coles 2001, chapter 4).

    Above `threshold` the rate of separate exceedances an hour is
    `rate_per_hour * (1 + shape * (score - threshold) / scale) ** (-1 / shape)`, for shape 0 its limit
    `rate_per_hour * exp(-(score - threshold) / scale)`. Below it the rate is read off `body_scores` (ascending)
    and `body_rates` (descending), per hour, by interpolation of the logarithm. `hours` is the normal time it rests on, `clusters` the
    separate exceedances in it.
    """

    threshold: float
    rate_per_hour: float
    shape: float
    scale: float
    body_scores: list[float]
    body_rates: list[float]
    hours: float
    clusters: int

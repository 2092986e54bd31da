"""Which channels a strange window is strange in: the evidence that goes with an alarm."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from agent.types import Verdict


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """One channel's part in a score, and what the channel read in that window.

    `share` is this channel's part, 0 to 1, of all channels' score above their usual level. `times_usual` is None where the usual level is zero.
    mean, minimum and maximum are in `unit`.
    """

    channel: str  # DEVICE.CHANNEL
    unit: str  # UCUM
    share: float
    times_usual: float | None
    mean: float
    minimum: float
    maximum: float


def top_channels(
    verdict: Verdict, names: Sequence[str], units: Sequence[str], usual: Sequence[float], limit: int = 5
) -> list[Contribution]:
    """The `limit` channels with the largest shares, largest first; names, units and usual scores are in model order."""
    score = np.where(np.isfinite(verdict.channel_score), verdict.channel_score, 0.0).astype(np.float64)
    level = np.asarray(usual, np.float64)
    excess = np.maximum(score - level, 0.0)
    # A score can be high though no channel exceeds its own usual level; the parts of the score itself are the next best answer.
    weight = excess if excess.any() else np.maximum(score, 0.0)
    share = weight / (weight.sum() or 1.0)
    order = np.argsort(-share, kind="stable")[:limit]
    return [
        Contribution(
            channel=names[row],
            unit=units[row],
            share=float(share[row]),
            times_usual=float(score[row] / level[row]) if level[row] > 0 else None,
            mean=float(values.mean(dtype=np.float64)),
            minimum=float(values.min()),
            maximum=float(values.max()),
        )
        for row, values in ((int(row), verdict.window.values[row]) for row in order)
    ]

"""Which channels a strange window is strange in: the evidence that goes with an alarm."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from agent.types import Verdict, Window


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What a channel usually does in a window, beside what it did; `spread_times` is None where it usually stands still.

    `band_hz` are the edges of the frequency band that grew most, `band_times` by how much; None where none stands out.
    """

    low: float
    high: float
    spread: float
    usual_spread: float
    spread_times: float | None
    band_hz: tuple[float, float] | None
    band_times: float | None


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """One channel's part in a score, and what the channel read in that window.

    `share` is this channel's part, 0 to 1, of all channels' score above their usual level. `times_usual` is None where the usual level is zero.
    mean, minimum and maximum are in `unit`, and None where no cell of the channel has a value.
    """

    channel: str  # DEVICE.CHANNEL
    unit: str  # UCUM
    share: float
    times_usual: float | None
    mean: float | None
    minimum: float | None
    maximum: float | None
    expected: Expectation | None = None  # where the bundle knows what is usual


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
        msgspec.structs.replace(
            _reading(verdict.window, row, names, units),
            share=float(share[row]),
            times_usual=float(score[row] / level[row]) if level[row] > 0 else None,
        )
        for row in map(int, order)
    ]


def readings(window: Window, rows: Sequence[int], names: Sequence[str], units: Sequence[str]) -> list[Contribution]:
    """What the channels in these rows read in `window`, each with an equal share: those that a rule is made of."""
    return [msgspec.structs.replace(_reading(window, row, names, units), share=1 / len(rows)) for row in rows]


def _reading(window: Window, row: int, names: Sequence[str], units: Sequence[str]) -> Contribution:
    values = window.values[row]
    values = values[np.isfinite(values)]
    return Contribution(
        channel=names[row],
        unit=units[row],
        share=0.0,
        times_usual=None,
        mean=float(values.mean(dtype=np.float64)) if len(values) else None,
        minimum=float(values.min()) if len(values) else None,
        maximum=float(values.max()) if len(values) else None,
    )

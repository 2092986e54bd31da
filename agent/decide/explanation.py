"""Why an alarm was raised, in numbers and in one sentence: each channel's share, and what it reads beside what it should."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from agent.decide.baseline import Baseline, ChannelBaseline
from agent.decide.contributions import Contribution, Expectation, readings, top_channels
from agent.decide.likeness import Similar
from agent.decide.spectrum import band_rms
from agent.types import Float32Array, Verdict, Window

_CALM = 1.5  # a spread within this factor of the usual one is no news
_LOUD = 2.0  # a band this many times its usual strength is named
_LEADS = 0.2  # the share from which a channel is told of
_MOST_LEADERS = 2
_MOST_POINTS = 256
_MOST_BYTES = 4_096
_INT16 = 32_767


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """The window that fired, small: of each named channel `points` values, the means of equal stretches of time.

    `data` is base64 of zlib of little-endian int16 [channels, points]; value = offset + scale * int16, -32768 is missing.
    """

    channels: list[str]
    points: int
    offset: list[float]
    scale: list[float]
    data: str


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What a device's profile says to do about one of its channels."""

    channel: str  # DEVICE.CHANNEL
    text: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """All that goes with an alarm beside its reading."""

    channels: list[Contribution]
    sentence: str
    picture: Picture | None
    actions: list[Advice] = []
    similar: list[Similar] = []


def unexplained() -> Explanation:
    """What is said where nobody will read it."""
    return Explanation(channels=[], sentence="", picture=None)


@dataclass(frozen=True, slots=True)
class Explainer:
    """What a machine's channels are called and what they usually do, in model order, and by name what to do about them."""

    names: Sequence[str]  # DEVICE.CHANNEL
    units: Sequence[str]
    usual: Sequence[float]  # median channel score on normal data
    baseline: Baseline | None
    rate_hz: float
    actions: Mapping[str, str] = field(default_factory=dict)  # of those whose profile says anything

    def model(self, verdict: Verdict) -> Explanation:
        """Why the model finds the window strange."""
        channels = [
            self._beside(each, verdict.window) for each in top_channels(verdict, self.names, self.units, self.usual)
        ]
        return self._explanation(channels, sentence(channels), verdict.window)

    def rule(self, window: Window, rows: Sequence[int], what: str) -> Explanation:
        """What the channels that a rule reads did; `what` says the rule in words."""
        channels = [self._beside(each, window) for each in readings(window, rows, self.names, self.units)]
        return self._explanation(channels, what, window)

    def _beside(self, channel: Contribution, window: Window) -> Contribution:
        if self.baseline is None:
            return channel
        row = self.names.index(channel.channel)
        return msgspec.structs.replace(channel, expected=expectation(window, row, self.baseline, self.rate_hz))

    def _explanation(self, channels: list[Contribution], told: str, window: Window) -> Explanation:
        rows = [self.names.index(each.channel) for each in channels]
        return Explanation(
            channels=channels,
            sentence=told,
            picture=picture(window, rows, self.names),
            actions=advice([each.channel for each in leading(channels) or channels[:1]], self.actions),
        )


def expectation(window: Window, row: int, baseline: Baseline, rate_hz: float) -> Expectation | None:
    """What channel `row` should have read in `window`; None where a cell of it is missing."""
    values = window.values[row]
    if not np.isfinite(values).all():
        return None
    usual = baseline.channels[row]
    spread = float(values.std(dtype=np.float64))
    band = _loudest(values, usual, baseline, rate_hz)
    return Expectation(
        low=usual.low,
        high=usual.high,
        spread=spread,
        usual_spread=usual.spread,
        spread_times=spread / usual.spread if usual.spread > 0 else None,
        band_hz=None if band is None else band[:2],
        band_times=None if band is None else band[2],
    )


def _loudest(
    values: Float32Array, usual: ChannelBaseline, baseline: Baseline, rate_hz: float
) -> tuple[float, float, float] | None:
    """The band that adds most energy beyond its usual, with how many times its usual strength it has."""
    edges_hz = baseline.band_edges_hz
    now, before = band_rms(values, rate_hz, edges_hz), np.asarray(usual.bands)
    band = int(np.argmax(now**2 - before**2))
    if before[band] <= 0 or now[band] < _LOUD * before[band]:
        return None
    return edges_hz[band], edges_hz[band + 1], float(now[band] / before[band])


def leading(channels: Sequence[Contribution]) -> Sequence[Contribution]:
    """Those of the first channels whose share is large enough to be told of; may be none."""
    return [each for each in channels[:_MOST_LEADERS] if each.share >= _LEADS]


def advice(channels: Sequence[str], actions: Mapping[str, str]) -> list[Advice]:
    """What to do about these channels, each text once, under the first channel that it is for."""
    first = {actions[channel]: channel for channel in reversed(channels) if channel in actions}
    return [Advice(channel=channel, text=text) for text, channel in reversed(first.items())]


def sentence(channels: Sequence[Contribution]) -> str:
    """One plain sentence on the channels of a model's alarm, the strangest first."""
    told = [phrase for channel in leading(channels) if (phrase := _phrase(channel))]
    calm = [channel.channel for channel in channels if channel.share < 0.05 and channel.expected is not None]
    text = "; ".join(told) or "no channel stands out by itself: their relation to each other is unusual"
    if calm and len(channels) > 1:
        text += f"; {_listed(calm[:2])} {'is' if len(calm) == 1 else 'are'} normal"
    return text[0].upper() + text[1:] + "."


def _phrase(channel: Contribution) -> str | None:
    """What is unusual about one channel; None where neither its level nor its spread is."""
    expected = channel.expected
    if expected is None or channel.mean is None:
        return None
    parts = []
    if not expected.low <= channel.mean <= expected.high:
        side = "above" if channel.mean > expected.high else "below"
        usual = f"{_number(expected.low)} to {_number(expected.high)}"
        parts.append(f"reads {_number(channel.mean)} {channel.unit}, {side} its usual {usual}")
    if expected.spread_times is not None and not 1 / _CALM <= expected.spread_times <= _CALM:
        varies = f"varies {_number(expected.spread_times)} times as much as usual"
        if expected.band_hz is not None and expected.spread_times > 1:
            varies += f", mostly at {_number(expected.band_hz[0])} to {_number(expected.band_hz[1])} Hz"
        parts.append(varies)
    return f"{channel.channel} {' and '.join(parts)}" if parts else None


def picture(window: Window, rows: Sequence[int], names: Sequence[str]) -> Picture:
    """The channels `rows` of `window` within 4 KiB: fewer points where they are many, fewer rows where that is not enough."""
    cells = window.values.shape[1]
    points = max(1, min(cells, _MOST_POINTS, _MOST_BYTES // (2 * max(1, len(rows)))))
    edges = np.linspace(0, cells, points + 1).astype(int)
    values = np.add.reduceat(window.values[list(rows)].astype(np.float64), edges[:-1], axis=1) / np.diff(edges)
    finite = np.where(np.isfinite(values), values, np.nan)
    known = np.isfinite(finite)
    low = np.where(known.any(axis=1), np.min(np.where(known, finite, np.inf), axis=1), 0.0)
    high = np.where(known.any(axis=1), np.max(np.where(known, finite, -np.inf), axis=1), 0.0)
    offset, scale = (low + high) / 2, np.maximum((high - low) / 2, np.finfo(np.float64).tiny) / _INT16
    coded = np.where(known, np.round((np.nan_to_num(finite) - offset[:, None]) / scale[:, None]), -_INT16 - 1)
    packed = zlib.compress(np.clip(coded, -_INT16 - 1, _INT16).astype("<i2").tobytes(), 9)
    return Picture(
        channels=[names[row] for row in rows],
        points=points,
        offset=[float(each) for each in offset],
        scale=[float(each) for each in scale],
        data=base64.b64encode(packed).decode(),
    )


def unpack(seen: Picture) -> Float32Array:
    """The values float32 [channels, points] of a picture; NaN where they are missing."""
    coded = np.frombuffer(zlib.decompress(base64.b64decode(seen.data)), "<i2").reshape(len(seen.channels), seen.points)
    values = np.array(seen.offset)[:, None] + np.array(seen.scale)[:, None] * coded
    return np.where(coded == -_INT16 - 1, np.nan, values).astype(np.float32)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names)


def _number(value: float) -> str:
    return f"{value:.3g}"

"""Charts as SVG text: axes, lines, bands and dots, in the page's own colours by class name."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

Values = npt.NDArray[np.float64]

_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 8, 34


@dataclass(frozen=True, slots=True)
class Axis:
    """What the values mean, and which of them fit; a logarithmic axis must be above zero."""

    label: str
    low: float
    high: float
    log: bool = False

    def places(self, values: npt.ArrayLike) -> Values:
        """Where values lie, 0 at the low end and 1 at the high one; what is beyond an end is put there."""
        given = np.clip(np.asarray(values, np.float64), self.low, self.high)
        low, high = self.low, self.high
        if self.log:
            given, low, high = np.log10(given), math.log10(low), math.log10(high)
        return np.asarray((given - low) / (high - low if high > low else 1.0))

    def ticks(self) -> list[float]:
        """A few round numbers between the ends."""
        if self.log:
            powers = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
            return [10.0**power for power in powers][:: max(1, len(powers) // 4)]
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        step = 10.0 ** math.floor(math.log10(span / 4))
        step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 5)
        first = math.ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class Frame:
    """A chart's size in pixels and its two axes."""

    x: Axis
    y: Axis
    width: int = 420
    height: int = 240

    def across(self, values: npt.ArrayLike) -> Values:
        """Pixels from the left."""
        return _LEFT + self.x.places(values) * (self.width - _LEFT - _RIGHT)

    def down(self, values: npt.ArrayLike) -> Values:
        """Pixels from the top."""
        return self.height - _BOTTOM - self.y.places(values) * (self.height - _TOP - _BOTTOM)


def chart(frame: Frame, title: str, layers: Iterable[Markup]) -> Markup:
    """The whole drawing: axes, then the layers in order; `title` is read out to those who cannot see it."""
    body = Markup("").join([_axes(frame), *layers])
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        frame.width, frame.height, title, body
    )


def line(frame: Frame, x: npt.ArrayLike, y: npt.ArrayLike, kind: str) -> Markup:
    """A line through all points."""
    return _path(frame.across(x), frame.down(y), kind)


def band(frame: Frame, begin: float, end: float, kind: str) -> Markup:
    """A stretch of the x axis, over the whole height."""
    left, right = frame.across([begin, end])
    size = (left, _TOP, max(right - left, 1.0), frame.height - _TOP - _BOTTOM)
    return Markup('<rect class="{}" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(kind, *size)


def level(frame: Frame, y: float, kind: str, label: str) -> Markup:
    """A height across the whole chart, with its name."""
    at, right = float(frame.down(y)), frame.width - _RIGHT
    drawn = Markup('<path class="{}" d="M{} {:.1f}H{}"/>').format(kind, _LEFT, at, right)
    return drawn + _text(right, at - 4, "end", label)


def dots(frame: Frame, x: npt.ArrayLike, y: npt.ArrayLike, kind: str) -> Markup:
    """A mark at every point."""
    points = zip(frame.across(x).ravel(), frame.down(y).ravel(), strict=True)
    mark = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="4"/>')
    return Markup("").join(mark.format(kind, across, down) for across, down in points)


def region(frame: Frame, x: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike, kind: str) -> Markup:
    """The area between two lines."""
    across = frame.across(x)
    edge = np.concatenate((across, across[::-1]))
    return _path(edge, np.concatenate((frame.down(low), frame.down(high)[::-1])), kind)


def thinned(x: Values, y: Values, most: int) -> tuple[Values, Values]:
    """No more than about `most` points that keep every peak and trough: the extremes of each of many short pieces."""
    if len(x) <= most:
        return x, y
    edges = np.linspace(0, len(x), most // 2 + 1).astype(int)
    kept = set[int]()
    for begin, end in itertools.pairwise(edges.tolist()):
        part = y[begin:end]
        kept |= {int(begin + part.argmin()), int(begin + part.argmax())}
    chosen = np.array(sorted(kept | {0, len(x) - 1}))
    return x[chosen], y[chosen]


def bounds(values: Sequence[float] | Values) -> tuple[float, float]:
    """The lowest and highest of the finite ones, apart even where all are alike."""
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    if len(finite) == 0:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def number(value: float) -> str:
    """A tick's text."""
    return f"{value:.4g}"


def _path(across: Values, down: Values, kind: str) -> Markup:
    points = "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(across, down, strict=True))
    return Markup('<path class="{}" d="M{}"/>').format(kind, points) if points else Markup("")


def _axes(frame: Frame) -> Markup:
    bottom, right = frame.height - _BOTTOM, frame.width - _RIGHT
    parts = [Markup('<path class="axis" d="M{} {}V{}H{}"/>').format(_LEFT, _TOP, bottom, right)]
    for value in frame.x.ticks():
        at = float(frame.across(value))
        parts.append(Markup('<path class="grid" d="M{:.1f} {}V{}"/>').format(at, _TOP, bottom))
        parts.append(_text(at, bottom + 14, "middle", number(value)))
    for value in frame.y.ticks():
        at = float(frame.down(value))
        parts.append(Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(_LEFT, at, right))
        parts.append(_text(_LEFT - 5, at + 4, "end", number(value)))
    parts.append(_text((_LEFT + right) / 2, frame.height - 4, "middle", frame.x.label))
    middle = (_TOP + bottom) / 2
    upright = Markup('<text transform="translate(11 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>')
    parts.append(upright.format(middle, frame.y.label))
    return Markup("").join(parts)


def _text(x: float, y: float, anchor: str, text: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, escape(text))

"""Synthetic anomalies: normal windows spoilt in known ways, so that detectors can be compared where nothing is labelled.

Magnitudes are in units of each channel's own spread over the windows given, drawn evenly (on a logarithmic scale where a factor is
meant) from the ranges below. After Goswami et al., "Unsupervised model selection for time-series anomaly detection", ICLR 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.types import Float32Array, Int64Array

BoolArray = npt.NDArray[np.bool_]
Series = npt.NDArray[np.float64]

_SPIKE, _SPIKE_CELLS = (4.0, 10.0), 3  # spreads; cells at most, and never more than a quarter of the window
_STEP = (1.0, 5.0)  # spreads: of steps, of the end of ramps, of shifted levels
_TONE = (0.5, 2.0)  # amplitude in spreads
_VARIANCE = (2.0, 5.0)  # factor of the noise's variance
_COLLAPSE = (0.05, 0.3)  # factor of the noise
_AMPLITUDE = (1.7, 3.0)  # factor of the whole movement, or its inverse
_DELAY = (0.125, 0.5)  # of the window
_LATEST_ONSET = 0.75  # of the window, so that its last cells are strange
_SMOOTHING_CELLS = 5  # what is quicker than so many cells is noise
_CHANNELS_SPOILT = (1, 1, 1, 2, 3)  # drawn from these, alike
_FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, eq=False)
class Injected:
    """Spoilt copies: windows float32 [n, channels, time], labels int64 [n], channels bool [n, channels] (those that were altered).

    Label k stands for `kinds[k - 1]`; 0 where the kind could alter nothing, as when a channel at rest is stuck.
    """

    windows: Float32Array
    labels: Int64Array
    kinds: tuple[str, ...]
    channels: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """One channel of one window; `other` is the same channel in another window, `spread` its deviation over all of them."""

    values: Series
    other: Series
    spread: float

    def onset(self, rng: np.random.Generator) -> int:
        return int(rng.integers(0, max(1, int(_LATEST_ONSET * len(self.values)))))

    def noise(self) -> Series:
        """What moves within a few cells."""
        cells = min(_SMOOTHING_CELLS, len(self.values))
        padded = np.pad(self.values, (cells // 2, cells - 1 - cells // 2), mode="edge")
        return self.values - np.convolve(padded, np.full(cells, 1 / cells), mode="valid")


Spoil = Callable[[_Scene, np.random.Generator], Series]


def _sign(rng: np.random.Generator) -> float:
    return 1.0 if rng.random() < 0.5 else -1.0


def _factor(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))


def _spike(scene: _Scene, rng: np.random.Generator) -> Series:
    cells = int(rng.integers(1, max(1, min(_SPIKE_CELLS, len(scene.values) // 4)) + 1))
    at = int(rng.integers(0, len(scene.values) - cells + 1))
    values = scene.values.copy()
    values[at : at + cells] += _sign(rng) * rng.uniform(*_SPIKE) * scene.spread
    return values


def _step(scene: _Scene, rng: np.random.Generator) -> Series:
    values = scene.values.copy()
    values[scene.onset(rng) :] += _sign(rng) * rng.uniform(*_STEP) * scene.spread
    return values


def _level(scene: _Scene, rng: np.random.Generator) -> Series:
    return np.asarray(scene.values + _sign(rng) * rng.uniform(*_STEP) * scene.spread)


def _ramp(scene: _Scene, rng: np.random.Generator) -> Series:
    """It begins at zero and is whole at the window's end."""
    values, onset = scene.values.copy(), scene.onset(rng)
    height = _sign(rng) * rng.uniform(*_STEP) * scene.spread
    values[onset:] += height * np.linspace(0, 1, len(values) - onset + 1)[1:]
    return values


def _noisy(scene: _Scene, rng: np.random.Generator) -> Series:
    values, onset = scene.values.copy(), scene.onset(rng)
    values[onset:] += (np.sqrt(_factor(rng, _VARIANCE)) - 1) * scene.noise()[onset:]
    return values


def _quiet(scene: _Scene, rng: np.random.Generator) -> Series:
    values, onset = scene.values.copy(), scene.onset(rng)
    values[onset:] -= (1 - _factor(rng, _COLLAPSE)) * scene.noise()[onset:]
    return values


def _stuck(scene: _Scene, rng: np.random.Generator) -> Series:
    values, onset = scene.values.copy(), scene.onset(rng)
    values[onset:] = values[onset]
    return values


def _tone(scene: _Scene, rng: np.random.Generator) -> Series:
    cells = np.arange(len(scene.values))
    period = _factor(rng, (3.0, max(4.0, len(cells) / 2)))
    phase = rng.uniform(0, 2 * np.pi)
    return np.asarray(scene.values + rng.uniform(*_TONE) * scene.spread * np.sin(2 * np.pi * cells / period + phase))


def _scaled(scene: _Scene, rng: np.random.Generator) -> Series:
    factor = _factor(rng, _AMPLITUDE) ** _sign(rng)
    middle = scene.values.mean()
    return np.asarray(middle + factor * (scene.values - middle))


def _swapped(scene: _Scene, _rng: np.random.Generator) -> Series:
    """Normal by itself, and not what the other channels say."""
    return scene.other


def _delayed(scene: _Scene, rng: np.random.Generator) -> Series:
    """Late, or early, against the other channels; what is not known at the edge is mirrored."""
    cells = max(1, round(rng.uniform(*_DELAY) * len(scene.values)))
    source = np.abs(np.arange(len(scene.values)) - cells)
    return scene.values[source] if rng.random() < 0.5 else scene.values[::-1][source][::-1]


_KINDS: dict[str, Spoil] = {
    "spike": _spike,
    "step": _step,
    "level": _level,
    "ramp": _ramp,
    "noisy": _noisy,
    "quiet": _quiet,
    "stuck": _stuck,
    "tone": _tone,
    "scaled": _scaled,
    "swapped": _swapped,
    "delayed": _delayed,
}
KINDS = tuple(_KINDS)
RELATIONAL = frozenset({"swapped", "delayed"})


def inject(windows: Float32Array, seed: int, kinds: Sequence[str] = KINDS) -> Injected:
    """Spoil each of `windows` [n, channels, time] in one way; kinds take turns, and come in a random order.

    Of `kinds` those that break the relation between channels (RELATIONAL) are left out for a single channel. The same
    windows, seed and kinds give the same result. Raises ValueError for a kind that does not exist, or where none is left.
    """
    chosen = _applicable(kinds, windows.shape[1])
    rng = np.random.default_rng(seed)
    spread = windows.std(axis=(0, 2), dtype=np.float64) if len(windows) else np.zeros(windows.shape[1])
    moving = np.flatnonzero(spread > 0) if (spread > 0).any() else np.arange(len(spread))
    spread[spread == 0] = 1.0
    spoilt = windows.copy()
    turns = rng.permutation(np.arange(len(windows)) % len(chosen))
    for index, turn in enumerate(turns.tolist()):
        kind = chosen[turn]
        other = (index + int(rng.integers(1, len(windows)))) % len(windows) if len(windows) > 1 else index
        for channel in _draw_channels(moving, windows.shape[1], kind, rng):
            values, another = (windows[at, channel].astype(np.float64) for at in (index, other))
            result = _KINDS[kind](_Scene(values, another, float(spread[channel])), rng)
            spoilt[index, channel] = np.clip(result, -_FLOAT32_MAX, _FLOAT32_MAX)
    altered: BoolArray = (spoilt != windows).any(axis=2)
    return Injected(spoilt, np.where(altered.any(axis=1), turns + 1, 0).astype(np.int64), chosen, altered)


def _applicable(kinds: Sequence[str], channels: int) -> tuple[str, ...]:
    if unknown := [kind for kind in kinds if kind not in _KINDS]:
        raise ValueError(f"there is no anomaly called {', '.join(unknown)}: take some of {', '.join(KINDS)}")
    chosen = tuple(kind for kind in kinds if channels > 1 or kind not in RELATIONAL)
    if not chosen:
        raise ValueError(f"a single channel has no relation to break: take some of {', '.join(KINDS)}")
    return chosen


def _draw_channels(moving: Int64Array, channels: int, kind: str, rng: np.random.Generator) -> Int64Array:
    """One or a few that move; of a relation at least one side stays as it was."""
    most = min(len(moving), channels - 1 if kind in RELATIONAL else channels)
    return rng.choice(moving, min(int(rng.choice(_CHANNELS_SPOILT)), most), replace=False)

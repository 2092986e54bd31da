"""Log spectrograms inside the graph: a short-time Fourier transform as one convolution with fixed kernels."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.models.features import in_parts
from export.models.subsequences import choose

_QUIETEST = 0.05  # of the usual energy of the row: the logarithm of a single bin has a long tail downwards
_LEAST = 1e-6  # of the channel's variance
_DYNAMIC = 1e-6  # of the frame's energy, 60 dB: what is fainter beside it is rounding and leakage
_LEARNED = 4_096  # windows at most


class LogSpectrogram(nn.Module):
    """From normalised windows z [batch, channels, time] to images [batch, channels, rows, frames], each row of mean 0 and variance 1 on normal data.

        X_kτ = Σ_t w_t z_{t+τh} exp(-2πi k t / L),   w the Hann window (Harris 1978), the frame's mean taken out, L = 2h
        row 0 = the frame's mean,   row k = ln(|X_kτ|² + floor_k + 10⁻⁶ Σ_k |X_kτ|²),   k = 1 .. L/2, at k rate / L

    Frames of L cells overlap by half and end with the window; before its first cell it is continued by that cell. Row 0 is what
    a spectrum without it would be blind to: a shift of level. The transform is Conv with kernels of L x (L + 1) numbers, so that no FFT (ONNX STFT,
    DFT) leaves the accelerator; for frames of 64 it costs about as much as one layer of a small network.
    """

    kernels: Tensor
    floor: Tensor
    centre: Tensor
    scale: Tensor

    def __init__(self, channels: int, window: int, frame: int) -> None:
        super().__init__()
        length = min(frame, window)
        self._hop = max(1, length // 2)
        self.frames = -(-(window - length) // self._hop) + 1
        self.rows = 1 + length // 2
        self._padding = length + (self.frames - 1) * self._hop - window
        self.register_buffer("kernels", _kernels(length), persistent=False)
        self.register_buffer("floor", torch.full((channels, self.rows - 1, 1), _LEAST))
        self.register_buffer("centre", torch.zeros(channels, self.rows, 1))
        self.register_buffer("scale", torch.ones(channels, self.rows, 1))

    @torch.no_grad()
    def fit(self, windows: Tensor, normalise: Callable[[Tensor], Tensor]) -> None:
        """Learn floors, centres and scales from normal windows, at most 4,096 of them."""
        chosen = windows[choose(len(windows), min(len(windows), _LEARNED)).sort().values]
        energies = in_parts(lambda part: self._energies(normalise(part))[1].double().mean(3), chosen)
        self.floor.copy_((_QUIETEST * energies.mean(0)).clamp(min=_LEAST).unsqueeze(2))
        centre = in_parts(lambda part: self.raw(normalise(part)).double().mean(3), chosen).mean(0).unsqueeze(2)
        squares = in_parts(lambda part: (self.raw(normalise(part)) - centre).square().mean(3), chosen)
        std = squares.mean(0).sqrt()
        self.centre.copy_(centre)
        self.scale.copy_(torch.where(std > _LEAST, std, torch.ones_like(std)).unsqueeze(2))

    def raw(self, z: Tensor) -> Tensor:
        """Means in the channel's standard deviations, and natural logarithms of energies in its variance."""
        mean, energy = self._energies(z)
        return torch.cat([mean, (energy + self.floor + _DYNAMIC * energy.sum(2, keepdim=True)).log()], 2)

    def forward(self, z: Tensor) -> Tensor:
        image: Tensor = (self.raw(z) - self.centre) / self.scale
        return image

    def _energies(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The frames' means [batch, channels, 1, frames] and energies [batch, channels, rows - 1, frames]."""
        padded = F.pad(z, (self._padding, 0), mode="replicate") if self._padding else z
        waves = F.conv1d(padded.flatten(0, 1).unsqueeze(1), self.kernels, stride=self._hop)
        waves = waves.reshape(-1, z.shape[1], 2 * self.rows - 1, self.frames)
        real, imaginary = waves[:, :, 1 : self.rows], waves[:, :, self.rows :]
        return waves[:, :, :1], real.square() + imaginary.square()


def _kernels(length: int) -> Tensor:
    """The mean, cosines, and sines under the Hann window without its mean, [1 + 2 (length // 2), 1, length]."""
    t = np.arange(length)
    hann = 0.5 - 0.5 * np.cos(2 * math.pi * (t + 0.5) / length)
    angle = 2 * math.pi * np.outer(np.arange(1, length // 2 + 1), t) / length
    waves = np.concatenate([np.cos(angle), np.sin(angle)]) * hann / math.sqrt(length)
    waves -= waves.mean(1, keepdims=True)
    return torch.from_numpy(np.concatenate([np.full((1, length), 1 / length), waves])).float().unsqueeze(1)

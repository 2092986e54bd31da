"""Log energies of frequency bands, by a Fourier transform written as a matrix product, and their Mahalanobis distance."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.features import in_parts
from export.models.quadratic_form import QuadraticForm

_QUIETEST = 0.05  # of the usual energy of the band: the logarithm of a band with few bins has a long tail downwards
_LEAST = 1e-6  # of the channel's variance


class SpectralBands(Detector):
    """d² = fᵀ Σ⁻¹ f / n of the log band energies and the mean of every channel.

        X_ck = Σ_t w_t (z_ct - mean_t z_c) exp(-2πi k t / time),  w the Hann window (Harris 1978)
        f_cb = ln(Σ_{k in band b} |X_ck|² + floor),   f_c0 = mean_t z_c,   both in units of their normal deviation

    Bands are as wide as they are high in frequency (log spaced, from the first bin to Nyquist). Σ and the split of d² over the channels, which is exact,
    are those of `export.models.quadratic_form`: score = Σ_c channel_score_c. The transform is a matrix product of
    time x 2 bins: the graph has no FFT operator.
    """

    transform: Tensor
    bands: Tensor
    floor: Tensor
    centre: Tensor
    scale: Tensor

    def __init__(self, shape: Shape, bands: int) -> None:
        super().__init__(shape.channels)
        transform, members = _transform(shape.window, bands)
        self.register_buffer("transform", transform)
        self.register_buffer("bands", members)
        kinds = members.shape[1] + 1
        self.register_buffer("floor", torch.full((shape.channels, kinds - 1), _LEAST))
        self.register_buffer("centre", torch.zeros(shape.channels, kinds))
        self.register_buffer("scale", torch.ones(shape.channels, kinds))
        self.distance = QuadraticForm(shape.channels * kinds)

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:  # noqa: ARG002 - normal windows only
        energies = in_parts(lambda part: self._energies(self.normalise(part)), windows)
        self.floor.copy_((_QUIETEST * energies.double().mean(0)).clamp(min=_LEAST))
        raw = in_parts(lambda part: self._raw(self.normalise(part)), windows).double()
        std = raw.std(0)
        self.centre.copy_(raw.mean(0))
        self.scale.copy_(torch.where(std > _LEAST, std, torch.ones_like(std)))
        self.distance.fit((raw - self.centre) / self.scale)

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        features = (self._raw(self.normalise(window)) - self.centre) / self.scale
        channel_score = self.distance(features)
        return channel_score.sum(1), channel_score

    def _energies(self, z: Tensor) -> Tensor:
        """Energy by band [batch, channels, bands]."""
        waves = torch.matmul(z - z.mean(2, keepdim=True), self.transform)
        return torch.matmul(waves.square(), self.bands)

    def _raw(self, z: Tensor) -> Tensor:
        return torch.cat([z.mean(2, keepdim=True), (self._energies(z) + self.floor).log()], 2)


def _transform(window: int, bands: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines under the Hann window [time, 2 bins], and which of them form which band [2 bins, bands]."""
    bins = np.arange(1, window // 2 + 1)
    edges = np.unique(np.round(np.geomspace(1, len(bins) + 1, bands + 1)).astype(int))
    members = (bins[:, None] >= edges[:-1]) & (bins[:, None] < edges[1:])
    t = np.arange(window)
    hann = 0.5 - 0.5 * np.cos(2 * math.pi * (t + 0.5) / window)
    angle = 2 * math.pi * np.outer(t, bins) / window
    waves = np.concatenate([np.cos(angle), np.sin(angle)], 1) * hann[:, None] / math.sqrt(window)
    return torch.from_numpy(waves).float(), torch.from_numpy(np.concatenate([members, members])).float()


FAMILY = Family("spectral-bands", SpectralBands, {"bands": Option(5, low=1, high=12)}, permutes=True)

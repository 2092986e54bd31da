"""The window's median and interquartile range against their own median and interquartile range in training."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from export.models.detector import Detector
from export.models.family import Family, Shape
from export.models.features import in_parts

_IQR_OF_NORMAL = 1.349
_QUIETEST = 0.1  # of the usual interquartile range; below it a window counts as still
_LEAST = 1e-3
_QUARTILES = (0.25, 0.5, 0.75)


class RobustZ(Detector):
    """Median and IQR in place of mean and standard deviation, over the cells of a window and over the windows of training.

    With q₁, q₂, q₃ the quartiles of the window's normalised cells (linear interpolation between order statistics):

        level = q₂        spread = ln(q₃ - q₁ + floor)        z = (· - median) / (IQR / 1.349)
        channel_score_c = (z_level² + z_spread²) / 2          score = sqrt(mean_c channel_score_c²)

    Half of a window's cells, and up to a quarter of the training windows on either side, may be anything without moving the score much
    (Rousseeuw and Croux 1993 on scales by order statistics): single spikes and faults hidden in the training data do no
    harm, and single spikes are not found. Sorting is ONNX TopK, by far the dearest
    operator here and the one to look at first where a graph is to stay on an accelerator.
    """

    centre: Tensor
    scale: Tensor
    floor: Tensor
    quantiles: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape.channels)
        self.register_buffer("centre", torch.zeros(shape.channels, 2))
        self.register_buffer("scale", torch.ones(shape.channels, 2))
        self.register_buffer("floor", torch.full((shape.channels,), _LEAST))
        self.register_buffer("quantiles", _interpolation(shape.window))

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:  # noqa: ARG002 - normal windows only
        quartiles = in_parts(self._quartiles, windows)
        self.floor.copy_((_QUIETEST * (quartiles[..., 2] - quartiles[..., 0]).mean(0)).clamp(min=_LEAST))
        raw = in_parts(self._raw, windows).double()
        low, middle, high = torch.quantile(raw, torch.tensor(_QUARTILES).double(), dim=0)
        spread = (high - low) / _IQR_OF_NORMAL
        std = raw.std(0)  # where more than half of the windows agree to the last bit
        self.centre.copy_(middle)
        self.scale.copy_(torch.where(spread > _LEAST, spread, torch.where(std > _LEAST, std, torch.ones_like(std))))

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        channel_score = ((self._raw(window) - self.centre) / self.scale).square().mean(2)
        return channel_score.square().mean(1).sqrt(), channel_score

    def _quartiles(self, windows: Tensor) -> Tensor:
        ordered, _ = torch.sort(self.normalise(windows), dim=2)
        return torch.matmul(ordered, self.quantiles)

    def _raw(self, windows: Tensor) -> Tensor:
        low, middle, high = self._quartiles(windows).unbind(2)
        return torch.stack([middle, (high - low + self.floor).log()], 2)


def _interpolation(window: int) -> Tensor:
    """The weights [time, 3] that turn sorted cells into quartiles."""
    weights = torch.zeros(window, len(_QUARTILES))
    for column, share in enumerate(_QUARTILES):
        place = share * (window - 1)
        below = math.floor(place)
        weights[below, column] += 1 - (place - below)
        weights[min(below + 1, window - 1), column] += place - below
    return weights


FAMILY = Family("robust-z", RobustZ, permutes=True)

"""A temporal convolutional network that forecasts every cell from the cells before it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.residual import ResidualDetector

_KERNEL = 3


class _CausalBlock(nn.Module):
    """x + W gelu(dilated causal convolution of x): each cell sees itself and the past alone."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self._past = (_KERNEL - 1) * dilation
        self.dilated = nn.Conv1d(width, width, _KERNEL, dilation=dilation)
        self.mixing = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.mixing(F.gelu(self.dilated(F.pad(x, (self._past, 0)))))
        return x + mixed


class TcnForecast(ResidualDetector):
    """Residual blocks of dilated causal convolutions, the dilation doubling until a cell sees the whole window before it:

        ẑ_t = W_out B_k(... B_1(W_in [z_{t-horizon}, z_{t-horizon-1}, ...]))        r = z - ẑ

    scored as ResidualScore says; cells near the window's beginning are forecast from zeros, and judged by the spread that this leaves.
    A longer horizon follows a fault less readily. Bai, Kolter and Koltun 2018 (arXiv:1803.01271); as a detector He and Zhao
    2019. Operators: Pad, Conv (dilated), Gelu; none leaves an accelerator.
    """

    def __init__(self, shape: Shape, width: int, horizon: int) -> None:
        super().__init__(shape.channels, shape.window)
        self._horizon = horizon
        dilations = [2**power for power in range(_levels(shape.window))]
        self.network = nn.Sequential(
            nn.Conv1d(shape.channels, width, 1),
            *(_CausalBlock(width, dilation) for dilation in dilations),
            nn.GELU(),
            nn.Conv1d(width, shape.channels, 1),
        )

    def explain(self, seen: Tensor) -> Tensor:
        forecast: Tensor = self.network(F.pad(seen, (self._horizon, 0))[:, :, : seen.shape[2]])
        return forecast


def _levels(window: int) -> int:
    """How many doublings of the dilation make the receptive field as long as the window."""
    levels = 1
    while 1 + (_KERNEL - 1) * (2**levels - 1) < window:
        levels += 1
    return levels


def _build(shape: Shape, width: int, horizon: int) -> Detector:
    return TcnForecast(shape, width, min(horizon, shape.window - 1))


FAMILY = Family("tcn-forecast", _build, {"width": Option(32, 8, 128, log=True), "horizon": Option(1, 1, 16, log=True)})

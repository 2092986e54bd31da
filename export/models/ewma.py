"""An exponentially weighted moving average and the residual of forecasting by it, the recursion as one matrix product."""

from __future__ import annotations

import torch
from torch import Tensor

from export.models.detector import Detector
from export.models.family import Family, Option, Shape

_LEAST = 1e-3  # standard deviations
_PART = 1024


class Ewma(Detector):
    """The EWMA chart (Roberts 1959) and its forecast residual.

        s_t = λ z_t + (1 - λ) s_{t-1},  s_0 = 0        r_t = z_t - s_{t-1}
        channel_score_c = ½ mean_t (s_ct / σ_s,ct)² + ½ mean_t (r_ct / σ_r,c)²        score = sqrt(mean_c channel_score_c²)

    The average sees small lasting shifts, the residual steps, spikes and noise; σ_s (by place in the window, as s grows
    from 0) and σ_r are measured on normal windows. Over a window of fixed length the recursion is the fixed lower triangular weight
    λ (1 - λ)^(t - i): one matrix product, no loop.
    """

    weights: Tensor
    average_scale: Tensor
    residual_scale: Tensor

    def __init__(self, shape: Shape, smoothing: float) -> None:
        super().__init__(shape.channels)
        age = torch.arange(shape.window)[:, None] - torch.arange(shape.window)
        average = torch.where(age >= 0, smoothing * (1 - smoothing) ** age.clamp(min=0).double(), 0.0)
        residual = torch.eye(shape.window).double()
        residual[1:] -= average[:-1]
        self.register_buffer("weights", torch.cat([average, residual]).T.float())
        self.register_buffer("average_scale", torch.ones(shape.channels, shape.window))
        self.register_buffer("residual_scale", torch.ones(shape.channels, 1))

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:  # noqa: ARG002 - normal windows only
        squares = torch.zeros(2, *windows.shape[1:], dtype=torch.float64)
        for part in torch.split(windows, _PART):
            squares += torch.stack(self._charts(part)).double().square().sum(1) / len(windows)
        self.average_scale.copy_(_scale(squares[0]))
        self.residual_scale.copy_(_scale(squares[1].mean(1, keepdim=True)))

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        average, residual = self._charts(window)
        shift = (average / self.average_scale).square().mean(2)
        spread = (residual / self.residual_scale).square().mean(2)
        channel_score = (shift + spread) / 2
        return channel_score.square().mean(1).sqrt(), channel_score

    def _charts(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        average, residual = torch.matmul(self.normalise(windows), self.weights).chunk(2, 2)
        return average, residual


def _scale(mean_square: Tensor) -> Tensor:
    """The root, and 1 for a channel that never moves."""
    root = mean_square.sqrt()
    return torch.where(root > _LEAST, root, torch.ones_like(root))


FAMILY = Family("ewma", Ewma, {"smoothing": Option(0.15, low=0.02, high=0.6, log=True)}, permutes=True)

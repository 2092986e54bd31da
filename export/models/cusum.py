"""Two-sided cumulative sums of location and of scale over the window: the strongest evidence for a change at any time in it."""

from __future__ import annotations

import torch
from torch import Tensor

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.features import in_parts

# Mean and deviation of √|z| for standard normal z (Hawkins 1981).
_ROOT_MEAN, _ROOT_STD = 0.822, 0.349


class Cusum(Detector):
    """CUSUM charts (Page 1954) of each channel's location and scale (Hawkins 1981), restarted with each window.

        C⁺_t = max(0, C⁺_{t-1} + x_t - k) = S_t - min_{i≤t} S_i,   S_t = Σ_{i≤t} (x_i - k),   C⁻ alike of -x
        peak_x = max_t max(C⁺_t, C⁻_t)   for x = z  and for  x = (√|z| - 0.822) / 0.349
        channel_score_c = ½ Σ_x (peak_x,c / rms of peak_x,c on normal windows)²        score = sqrt(mean_c channel_score_c²)

    The max over t lets a fault speak that fills only a part of the window. Sums are a product with a triangular
    matrix and running minima log₂(time) shifted minima: no loop and no sort, standard operators alone.
    """

    steps: Tensor
    scale: Tensor

    def __init__(self, shape: Shape, allowance: float) -> None:
        super().__init__(shape.channels)
        self._allowance = allowance
        self.register_buffer("steps", torch.ones(shape.window, shape.window + 1).triu(1))
        self.register_buffer("scale", torch.ones(shape.channels, 2))

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:  # noqa: ARG002 - normal windows only
        rms = in_parts(self._peaks, windows).double().square().mean(0).sqrt()
        self.scale.copy_(rms.clamp(min=1))  # a channel that never moves has no peaks at all

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        channel_score = (self._peaks(window) / self.scale).square().mean(2)
        return channel_score.square().mean(1).sqrt(), channel_score

    def _peaks(self, windows: Tensor) -> Tensor:
        """The highest cumulative sums of location and scale [batch, channels, 2]."""
        z = self.normalise(windows)
        root = (z.abs().sqrt() - _ROOT_MEAN) / _ROOT_STD
        both = torch.stack([z, -z, root, -root], 2) - self._allowance
        sums = torch.matmul(both, self.steps)
        peaks = (sums - _running_minimum(sums)).amax(3)
        return torch.stack([peaks[:, :, :2].amax(2), peaks[:, :, 2:].amax(2)], 2)


def _running_minimum(sums: Tensor) -> Tensor:
    """The least value so far along the last axis: after the k-th step each place knows the last 2ᵏ."""
    lowest, reach, length = sums, 1, sums.shape[-1]
    while reach < length:
        earlier = torch.minimum(lowest[..., reach:], lowest[..., :-reach])
        lowest = torch.cat([lowest[..., :reach], earlier], -1)
        reach *= 2
    return lowest


FAMILY = Family("cusum", Cusum, {"allowance": Option(0.5, low=0.1, high=2.0)}, permutes=True)

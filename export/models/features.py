"""A window put into a few numbers a channel: level, spread, roughness, slope, extremes, each against its normal spread."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

# The spread of a window below this share of the usual one counts as none: quantised and idle channels have many windows without any.
_QUIETEST = 0.1
_LEAST = 1e-3  # in standard deviations of the channel, where even the usual spread is none
_PART = 1024


class WindowFeatures(nn.Module):
    """From normalised windows z [batch, channels, time] to features [batch, channels, kinds] of mean 0 and variance 1 on normal data.

    With m = mean_t z and s² the variance of z over the window, floored by q:

        level = m                        spread = ½ ln(s² + q²)          roughness = ½ ln(mean_t (z_t - z_{t-1})² + q_d²)
        slope = Σ_t (t - t̄) z_t / Σ_t (t - t̄)²  · time                  high = max_t z - m        low = min_t z - m

    `roughness` minus `spread` is ½ ln 2(1 - ρ₁), with ρ₁ the autocorrelation at lag 1. Logarithms make a doubling and a halving of
    the spread equally strange. A feature that never moves in training keeps its own unit.
    """

    centre: Tensor
    scale: Tensor
    quiet: Tensor
    quiet_step: Tensor
    ramp: Tensor

    def __init__(self, channels: int, window: int, kinds: Sequence[str] = ("level", "spread")) -> None:
        super().__init__()
        self.kinds = tuple(kinds)
        self.register_buffer("centre", torch.zeros(channels, len(kinds)))
        self.register_buffer("scale", torch.ones(channels, len(kinds)))
        self.register_buffer("quiet", torch.full((channels,), _LEAST))
        self.register_buffer("quiet_step", torch.full((channels,), _LEAST))
        t = torch.arange(window, dtype=torch.float32) - (window - 1) / 2
        self.register_buffer("ramp", t / t.square().sum().clamp(min=1) * window)

    @torch.no_grad()
    def fit(self, windows: Tensor, normalise: Callable[[Tensor], Tensor]) -> Tensor:
        """Learn floors, centres and scales from normal windows, `normalise`d a part at a time; returns their features."""
        variance = in_parts(lambda part: normalise(part).var(2, correction=0), windows)
        steps = in_parts(lambda part: mean_square(normalise(part).diff(dim=2)), windows)
        self.quiet.copy_(_QUIETEST * variance.double().mean(0).sqrt()).clamp_(min=_LEAST)
        self.quiet_step.copy_(_QUIETEST * steps.double().mean(0).sqrt()).clamp_(min=_LEAST)
        raw = in_parts(lambda part: self.raw(normalise(part)), windows).double()
        std = raw.std(0)
        self.centre.copy_(raw.mean(0))
        # What moves less is, as far as float32 can tell, rounding, which must not be blown up to a feature.
        self.scale.copy_(torch.where(std > _LEAST, std, torch.ones_like(std)))
        return ((raw - self.centre) / self.scale).float()

    def raw(self, z: Tensor) -> Tensor:
        """The features in units of the channel's standard deviation, or natural logarithms of it."""
        mean = z.mean(2)
        kinds: dict[str, Callable[[], Tensor]] = {
            "level": lambda: mean,
            "spread": lambda: (mean_square(z - mean.unsqueeze(2)) + self.quiet.square()).log() / 2,
            "roughness": lambda: (mean_square(z[:, :, 1:] - z[:, :, :-1]) + self.quiet_step.square()).log() / 2,
            "slope": lambda: self._slope(z - mean.unsqueeze(2)),  # else a level far off costs digits
            "high": lambda: z.amax(2) - mean,
            "low": lambda: z.amin(2) - mean,
        }
        return torch.stack([kinds[kind]() for kind in self.kinds], 2)

    def _slope(self, deviation: Tensor) -> Tensor:
        """By a matrix of one column: with a vector ONNX Runtime would make one product of each window."""
        return torch.matmul(deviation, self.ramp.unsqueeze(1)).squeeze(2)

    def forward(self, z: Tensor) -> Tensor:
        standardised: Tensor = (self.raw(z) - self.centre) / self.scale
        return standardised


def in_parts(function: Callable[[Tensor], Tensor], windows: Tensor) -> Tensor:
    """`function` of `windows`, a part at a time, so that what it needs in between stays small."""
    return torch.cat([function(part) for part in torch.split(windows, _PART)])


def mean_square(deviation: Tensor) -> Tensor:
    """The mean square over time."""
    return deviation.square().mean(2)

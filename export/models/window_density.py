"""How dense training is where a window's levels and spreads lie, channel by channel, in units that know how far each channel wanders."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from export.models.detector import Detector
from export.models.family import Family, Option, Shape

_FREEDOM = 7  # of the Student kernel: heavy enough that one more outlier is not infinitely stranger
_BANDWIDTH = 0.5
_SPREAD = 0.5  # a spread's evidence counts half: its distribution is further from the one assumed
_QUIETEST = 0.1  # of the noise: quantised channels have windows without any
_LEAST = 1e-3  # in standard deviations of the channel, where it has no noise at all


class WindowDensity(Detector):
    """Evidence -ln p of window means and log spreads by a kernel density estimate for each channel, over two lengths of view.

    From the last w cells of a window, for w the whole of it and `short` of it, f = mean_t z and f = ½ ln(var_t z + q²). Were the channel white noise of
    deviation σ (from differences of neighbouring cells), f would have the deviation s = σ/√w or 1/√(2w); over the training windows it
    has r s, r >= 1. Training that wanders holds few independent windows, so the future is farther off than the past: the unit is

        u = sqrt((r s)² + a²) · r          a = `accuracy` · |mean|, what a sensor's reading may be wrong by
        e_f = -ln mean_{b in bank} (1 + (f - b)² / (ν h² u²))^(-(ν+1)/2),     ν = 7, h = ½
        channel_score_c = (mean of ē_level⁴ and (ē_spread / 2)⁴)^¼            score = (mean_c channel_score_c⁴)^¼

    with ē the mean over both views. Density estimates as novelty scores: Bishop 1994; a fourth power lets one strange channel speak.
    Relations between channels are not seen. `share_wander` lets runs of one machine learn r from each other. Every operator runs on
    an accelerator.
    """

    noise: Tensor
    error: Tensor
    wander: Tensor
    bank: Tensor

    def __init__(self, shape: Shape, short: float, accuracy: float, bank: int) -> None:
        super().__init__(shape.channels)
        self._views = (min(max(round(short * shape.window), 2), shape.window), shape.window)
        self._accuracy = accuracy
        self.register_buffer("noise", torch.ones(shape.channels))
        self.register_buffer("error", torch.zeros(shape.channels))
        self.register_buffer("wander", torch.ones(shape.channels, 2, len(self._views)))
        self.register_buffer("bank", torch.zeros(bank, shape.channels, 2, len(self._views)))

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:  # noqa: ARG002 - normal windows only
        z = self.normalise(windows)
        self.noise.copy_((z.double().diff(dim=2).square().mean((0, 2)) / 2).sqrt().clamp(min=_LEAST))
        self.error.copy_((self._accuracy * self.mean.abs() / self.std)[:, 0])
        features = self._features(z)
        self.wander.copy_((features.double().std(0) / self._white()).clamp(min=1))
        self.bank.copy_(features[torch.linspace(0, len(features) - 1, len(self.bank)).round().long()])

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        unit = _BANDWIDTH * self._unit()
        distance = (self._features(self.normalise(window)).unsqueeze(1) - self.bank) / unit
        power = -(_FREEDOM + 1) / 2 * (1 + distance.square() / _FREEDOM).log()
        evidence = (math.log(len(self.bank)) - power.logsumexp(1)).clamp(min=0).mean(3)
        fourth = torch.cat([evidence[:, :, :1], _SPREAD * evidence[:, :, 1:]], 2).square().square().mean(2)
        return fourth.mean(1).sqrt().sqrt(), fourth.sqrt().sqrt()

    def _features(self, z: Tensor) -> Tensor:
        """[batch, channels, level and spread, views]."""
        views = []
        for cells in self._views:
            seen = z[:, :, -cells:]
            level = seen.mean(2)
            floor = self.error.square() + (_QUIETEST * self.noise).square()
            spread = ((seen - level.unsqueeze(2)).square().mean(2) + floor).log() / 2
            views.append(torch.stack([level, spread], 2))
        return torch.stack(views, 3)

    def _white(self) -> Tensor:
        """What the features' deviation would be, were each channel white noise [channels, 2, views]."""
        cells = self.noise.new_tensor(self._views)
        level = self.noise[:, None] / cells.sqrt()
        return torch.stack([level, (1 / (2 * cells).sqrt()).expand_as(level)], 1)

    def _unit(self) -> Tensor:
        """What the features are measured in [channels, 2, views]."""
        error = torch.stack([self.error, torch.zeros_like(self.error)], 1)[:, :, None]
        return ((self.wander * self._white()).square() + error.square()).sqrt() * self.wander


@torch.no_grad()
def share_wander(models: Sequence[WindowDensity], neighbours: int) -> None:
    """Move each model's r half way, in squares, to the median r of the `neighbours` models whose training levels are nearest, itself among them.

    One short run says little of how far its channels may wander; others at the same operating point, of training rows too, say more.
    """
    levels = torch.stack([model.mean[:, 0] for model in models]).double()
    levels = levels / levels.std(0, correction=0).clamp(min=1e-12)
    own = torch.stack([model.wander for model in models])
    for model, distances in zip(models, torch.cdist(levels, levels), strict=True):
        nearest = distances.argsort(stable=True)[:neighbours]
        typical = own[nearest].quantile(0.5, dim=0)
        model.wander.copy_(((model.wander.square() + typical.square()) / 2).sqrt())


FAMILY = Family(
    "window-density",
    WindowDensity,
    {
        "short": Option(0.22, low=0.05, high=1.0),
        "accuracy": Option(0.0, low=0.0, high=0.05),
        "bank": Option(64, low=16, high=512, log=True),
    },
    permutes=True,
)

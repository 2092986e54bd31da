"""What the classical classifiers see of a window: its features by channel, and how strange each channel and the whole are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from export.models.features import WindowFeatures
from export.models.quadratic_form import QuadraticForm

_KINDS = ("level", "spread", "roughness", "slope")
# A classifier knows nothing of what is further out than its examples; rounding there must not matter.
_SEEN = 20.0
_LEAST = 1e-3


class FaultFeatures(nn.Module):
    """From normalised windows, at most 20 deviations, to features [batch, channels, kinds] and strangeness [batch].

    The kinds are level, spread, roughness and slope (`export.models.features`) and the logarithm of their mean square, how strange the channel
    is by itself; the strangeness of the whole window is the logarithm of its Mahalanobis distance (`export.models.quadratic_form`), which sees
    broken relations too. Both are standardised like the features. A distance from normal windows needs no labels: so a few
    labelled faults are enough to learn how far is too far, in whatever channel and direction.
    """

    kinds = len(_KINDS) + 1
    centre: Tensor
    scale: Tensor

    def __init__(self, channels: int, window: int) -> None:
        super().__init__()
        self.features = WindowFeatures(channels, window, _KINDS)
        self.distance = QuadraticForm(channels * len(_KINDS))
        self.register_buffer("centre", torch.zeros(channels + 1))
        self.register_buffer("scale", torch.ones(channels + 1))

    @torch.no_grad()
    def fit(self, windows: Tensor, normalise: Callable[[Tensor], Tensor]) -> None:
        """Learn what is usual from normal windows alone."""
        features = self.features.fit(windows, lambda part: normalise(part).clamp(-_SEEN, _SEEN))
        self.distance.fit(features)
        logs = _logs(features, self.distance(features)).double()
        self.centre.copy_(logs.mean(0))
        self.scale.copy_(logs.std(0).clamp(min=_LEAST))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features, strangeness, and the channels' exact shares of the distance [batch, channels], which add up to 1."""
        features = self.features(z.clamp(-_SEEN, _SEEN))
        shares = self.distance(features)
        logs = (_logs(features, shares) - self.centre) / self.scale
        each = torch.cat([features, logs[:, :-1].unsqueeze(2)], 2)
        return each, logs[:, -1], (shares + _LEAST) / (shares + _LEAST).sum(1, keepdim=True)


def at_prior(probability: Tensor, prior: float) -> Tensor:
    """Bayes: the probability of a fault where `prior` of all windows are faults, from the one where half of them are."""
    fault, normal = prior * probability, (1 - prior) * (1 - probability)
    return fault / (fault + normal)


def _logs(features: Tensor, shares: Tensor) -> Tensor:
    """Logarithms of each channel's mean square and of the distance [batch, channels + 1]."""
    return torch.cat([features.square().mean(2), shares.sum(1, keepdim=True)], 1).add(_LEAST).log()

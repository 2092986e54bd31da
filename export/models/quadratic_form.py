"""A Mahalanobis distance of features, its covariance shrunk by Ledoit and Wolf, split over the channels without remainder."""

from __future__ import annotations

import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor, nn

# Of the mean variance: copies of channels leave directions without variance, and a gain beyond this would measure rounding.
_LEAST_VARIANCE = 1e-4


class QuadraticForm(nn.Module):
    """d²(f) = fᵀ Σ⁻¹ f / n for n features f [batch, channels, kinds] of mean 0, as shares [batch, channels] that add up to it.

    Σ = (1 - ρ) S + ρ tr(S)/n I with the ρ that Ledoit and Wolf 2004 show to be best for Gaussian data. Σ^-½ is the symmetric root, which moves
    features least (Kessy, Lewin and Strimmer 2018), so that (Σ^-½ f)_i still speaks of feature i; channel c's share is the
    sum of (Σ^-½ f)_i² over its features (complete decomposition, Alcala and Qin 2009). Near 1 on normal data.
    """

    root: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("root", torch.eye(features))

    @torch.no_grad()
    def fit(self, features: Tensor) -> None:
        """Learn Σ from the features [n, channels, kinds] of normal windows."""
        samples = features.flatten(1).double()
        covariance = torch.from_numpy(ledoit_wolf(samples.numpy(), assume_centered=True)[0])
        values, vectors = torch.linalg.eigh(covariance)
        least = _LEAST_VARIANCE * values.mean().clamp(min=_LEAST_VARIANCE)
        self.root.copy_((vectors / values.clamp(min=least).sqrt()) @ vectors.T)

    def whiten(self, features: Tensor) -> Tensor:
        """Σ^-½ f, in the shape of `features`."""
        return torch.unflatten(torch.matmul(features.flatten(1), self.root), 1, features.shape[1:])

    def forward(self, features: Tensor) -> Tensor:
        return self.whiten(features).square().sum(2) / self.root.shape[0]

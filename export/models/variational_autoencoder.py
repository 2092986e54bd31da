"""A variational autoencoder, judged by its evidence bound along the mean path."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.residual import ResidualDetector

_WIDEST = 8.0  # of the logarithm of a latent variance


class VariationalAutoencoder(ResidualDetector):
    """With z the normalised window (C channels, T cells), q(c|z) = N(μ(z), σ²(z)) and the prior N(0, 1):

        loss  = mean (z - decode(μ + σ ε))² + variance · 2 KL / (C T)        KL = ½ Σ (μ² + σ² - 1 - log σ²)
        score = ResidualScore(z - decode(μ)) + 2 KL / (C T)

    Both are the negative evidence bound a cell, times two: in training for a decoder of the given `variance`, in the score for the
    residual's measured covariance. Nothing is drawn at random outside training. channel_score is the residual's part alone, for KL
    speaks of the window as a whole. Kingma and Welling 2014 (arXiv:1312.6114); as a detector An and Cho 2015.
    Operators: MatMul, Gelu, Exp; none leaves an accelerator.
    """

    def __init__(self, shape: Shape, hidden: int, latent: int, variance: float) -> None:
        super().__init__(shape.channels, shape.window)
        self._cells = shape.channels * shape.window
        self._variance = variance
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(self._cells, hidden), nn.GELU())
        self.mean_head = nn.Linear(hidden, latent)
        self.variance_head = nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden),
            nn.GELU(),
            nn.Linear(hidden, self._cells),
            nn.Unflatten(1, (shape.channels, shape.window)),
        )

    def explain(self, seen: Tensor) -> Tensor:
        explained: Tensor = self.decoder(self._posterior(seen)[0])
        return explained

    def loss(self, windows: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG002 - normal windows only
        seen = self.see(windows)
        mean, log_variance = self._posterior(seen)
        drawn = mean + (log_variance / 2).exp() * torch.randn_like(mean) if self.training else mean
        return F.mse_loss(self.decoder(drawn), seen) + self._variance * self._divergence(mean, log_variance).mean()

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self._posterior(self.see(window))
        score, channel_score = self.measure(self.normalise(window) - self.decoder(mean))
        return score + self._divergence(mean, log_variance), channel_score

    def _posterior(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance, [batch, latent] each."""
        features = self.encoder(seen)
        return self.mean_head(features), self.variance_head(features).clamp(-_WIDEST, _WIDEST)

    def _divergence(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """2 KL / (C T) of each window, [batch]."""
        return (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / self._cells


def _build(shape: Shape, hidden: int, latent: int, variance: float) -> Detector:
    return VariationalAutoencoder(shape, hidden, latent, variance)


FAMILY = Family(
    "variational-autoencoder",
    _build,
    {
        "hidden": Option(128, 32, 512, log=True),
        "latent": Option(8, 2, 64, log=True),
        "variance": Option(0.1, 0.001, 1.0, log=True),
    },
)

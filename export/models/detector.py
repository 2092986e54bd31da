"""What every model shares: normalisation inside the graph, and squared deviations as channel scores."""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn

# In standard deviations. Keeps squares finite in float32 for any finite input; nothing is stranger than this.
FURTHEST = 1e4
_SHRINKAGE = 0.05


class Detector(nn.Module, abc.ABC):
    """From `window` [batch, channels, time] in engineering units to `score` [batch] and `channel_score` [batch, channels].

    Life: `fit_input` on training windows, gradient steps on `loss` where there are parameters, `fit_score` on the
    same windows, then `forward`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1))
        self.register_buffer("std", torch.ones(channels, 1))

    def fit_input(self, windows: Tensor) -> None:
        """Learn each channel's mean and standard deviation; one that never moves keeps its own unit as its deviation."""
        cells = windows.double().transpose(0, 1).flatten(1)
        mean, std = cells.mean(1, keepdim=True), cells.std(1, keepdim=True)
        moves = std > 1e-6 * mean.abs().clamp(min=1e-6)
        self.mean.copy_(mean)
        self.std.copy_(torch.where(moves, std, torch.ones_like(std)))

    def normalise(self, windows: Tensor) -> Tensor:
        """Standard deviations from the mean, at most FURTHEST."""
        z: Tensor = ((windows - self.mean) / self.std).clamp(-FURTHEST, FURTHEST)
        return z

    def loss(self, windows: Tensor) -> Tensor:
        """What training makes small: the score itself, unless a model knows better."""
        score: Tensor
        score, _ = self(windows)
        return score.mean()

    @abc.abstractmethod
    def fit_score(self, windows: Tensor) -> None:
        """Learn what the score of normal windows is measured against."""

    @abc.abstractmethod
    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """Score [batch] and channel_score [batch, channels]; the part that becomes the ONNX graph."""


def whitening(samples: Tensor) -> Tensor:
    """The matrix [d, d] that turns `samples` [n, d] of mean zero into uncorrelated ones of unit variance.

    Of all such matrices the symmetric one (ZCA) moves the samples least, so that row i still speaks of
    channel i (Kessy, Lewin and Strimmer 2018). The covariance is shrunk to its diagonal, which bounds the gain.
    """
    x = samples.double()
    covariance = x.T @ x / len(x)
    diagonal = torch.diag(covariance.diagonal().clamp(min=1e-9))
    values, vectors = torch.linalg.eigh((1 - _SHRINKAGE) * covariance + _SHRINKAGE * diagonal)
    matrix: Tensor = (vectors / values.clamp(min=1e-12).sqrt()) @ vectors.T
    return matrix

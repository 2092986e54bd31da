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
    same windows, then `forward`. Buffers have a size that follows from shape and options alone, so that weights can be read back.
    Labels are int64 [batch]: 0 normal, k the k-th kind of fault; a family that is not supervised sees normal windows only.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1))
        self.register_buffer("std", torch.ones(channels, 1))

    def fit_input(self, windows: Tensor) -> None:
        """Learn each channel's mean and standard deviation; one that never moves keeps its own unit as its deviation."""
        # one channel after the other: a big set must not be copied whole in double precision
        moments = [torch.std_mean(windows[:, channel].double()) for channel in range(windows.shape[1])]
        std, mean = (torch.stack(each)[:, None] for each in zip(*moments, strict=True))
        moves = std > 1e-6 * mean.abs().clamp(min=1e-6)
        self.mean.copy_(mean)
        self.std.copy_(torch.where(moves, std, torch.ones_like(std)))

    def normalise(self, windows: Tensor) -> Tensor:
        """Standard deviations from the mean, at most FURTHEST."""
        z: Tensor = ((windows - self.mean) / self.std).clamp(-FURTHEST, FURTHEST)
        return z

    def loss(self, windows: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG002 - labels are for supervised families
        """What training makes small: the score itself, unless a model knows better."""
        score: Tensor
        score, _ = self(windows)
        return score.mean()

    @abc.abstractmethod
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:
        """Learn what the score of normal windows is measured against."""

    @abc.abstractmethod
    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """Score [batch] and channel_score [batch, channels]; the part that becomes the ONNX graph."""


def across_channels(matrix: Tensor, signals: Tensor) -> Tensor:
    """`matrix` [out, in] times `signals` [batch, in, time] at each instant, [batch, out, time]: a convolution of width one.

    A product with the matrix on the left is as fast on the CPU. On CUDA ONNX Runtime makes one of each window, with lists of
    addresses that it has to make room for while a CUDA graph is captured, which CUDA does not allow.
    """
    return torch.nn.functional.conv1d(signals, matrix.unsqueeze(2))


def whitening(samples: Tensor, least_variance: float = 0.0) -> Tensor:
    """The matrix [d, d] that turns `samples` [n, d] of mean zero into uncorrelated ones of unit variance.

    Of all such matrices the symmetric one (ZCA) moves the samples least, so that row i still speaks of
    channel i (Kessy, Lewin and Strimmer 2018). The covariance is shrunk to its diagonal, which bounds the gain, as does
    `least_variance`, which is added to every variance.
    """
    x = samples.double()
    covariance = x.T @ x / len(x) + least_variance * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    diagonal = torch.diag(covariance.diagonal().clamp(min=1e-9))
    values, vectors = torch.linalg.eigh((1 - _SHRINKAGE) * covariance + _SHRINKAGE * diagonal)
    matrix: Tensor = (vectors / values.clamp(min=1e-12).sqrt()) @ vectors.T
    return matrix

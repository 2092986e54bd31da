"""Subsequences of all channels together, explained by the nearest of a few centres from training."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

from export.models.family import Family, Option, Shape
from export.models.residual import ResidualDetector
from export.models.subsequences import choose, cut, places

_MOST_PIECES = 8192
_STARTS = 3
_LEAST_VARIANCE = 1e-3  # of a cell around its centre, in squared standard deviations


class KMeansCentres(ResidualDetector):
    """KMeansAD (Yairi et al. 2001; the form of Schmidl, Wenig and Papenbrock 2022) with a whitened residual.

    A piece x is a subsequence of all channels in standard deviations, at most 5; c_k are the k-means centres of the training
    pieces and σ² the variance of a cell around its centre. What a piece should be is the mean over the centres, each with its
    probability under equal Gaussians of that variance; nearly always that is the nearest centre alone:

        explained = Σ_k p_k c_k,   p = softmax_k((x·c_k - |c_k|² / 2) / σ²)

    The residual z - explained is scored as in `export.models.residual.ResidualScore`, where A and B measure it in its own normal
    covariance between channels. Pieces lie end to end over the window. Softmax and products alone, no ArgMin,
    and no tie between centres can make two runtimes differ.
    """

    cells: Tensor
    fold: Tensor
    centres: Tensor
    variance: Tensor

    def __init__(self, shape: Shape, clusters: int, length: float) -> None:
        super().__init__(shape.channels, shape.window)
        cells = places(shape.window, length, 0.0)
        self.register_buffer("cells", cells)
        self.register_buffer("fold", _fold(cells, shape.window))
        self.register_buffer("centres", torch.zeros(clusters, shape.channels * cells.shape[1]))
        self.register_buffer("variance", torch.ones(()))

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:
        chosen = windows[choose(len(windows), min(len(windows), _MOST_PIECES // len(self.cells)))]
        pieces = self._pieces(self.see(chosen)).flatten(0, 1)
        clusters = len(self.centres)
        seed = int(torch.randint(2**31 - 1, ()))
        distinct = len(np.unique(pieces.numpy(), axis=0))
        with threadpool_limits(1):  # several threads add up in any order
            found = KMeans(min(clusters, distinct), n_init=_STARTS, random_state=seed).fit(pieces.double().numpy())
        centres = torch.from_numpy(found.cluster_centers_).float()
        self.centres.copy_(centres[torch.arange(clusters) % len(centres)])
        self.variance.fill_(found.inertia_ / pieces.numel()).clamp_(min=_LEAST_VARIANCE)
        super().fit_score(windows, labels)

    def explain(self, seen: Tensor) -> Tensor:
        pieces = self._pieces(seen)
        likeness = torch.matmul(pieces, self.centres.T) - self.centres.square().sum(1) / 2
        explained = torch.matmul(torch.softmax(likeness / self.variance, 2), self.centres)
        channels = torch.unflatten(explained, 2, (seen.shape[1], -1)).transpose(1, 2)
        return torch.matmul(channels.flatten(2), self.fold)

    def _pieces(self, seen: Tensor) -> Tensor:
        """[batch, pieces, channels x length]."""
        return cut(seen, self.cells).transpose(1, 2).flatten(2)


def _fold(cells: Tensor, window: int) -> Tensor:
    """The weights [pieces x length, time] that put pieces back in place, the mean where two overlap."""
    hits = torch.nn.functional.one_hot(cells.flatten(), window).float()
    return hits / hits.sum(0)


FAMILY = Family(
    "kmeans",
    KMeansCentres,
    {"clusters": Option(32, low=2, high=256, log=True), "length": Option(0.5, low=0.125, high=1.0)},
)

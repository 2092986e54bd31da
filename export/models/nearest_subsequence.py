"""The distance of each channel's subsequences to the nearest of a bank from training: a matrix profile in one matrix product."""

from __future__ import annotations

import torch
from torch import Tensor

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.subsequences import choose, cut, places

_OVERLAP = 0.5
_MOST_WINDOWS = 4096
_QUIETEST = 0.1  # of the usual spread
_LEAST = 1e-3
_ALIKE = 0.1  # of the usual distance; also keeps the distance of a member of the bank to itself above rounding


class NearestSubsequence(Detector):
    """The AB-join matrix profile of a window against a bank of normal subsequences, channel by channel.

    A subsequence x of m cells with mean μ and deviation σ becomes v = [(x - μ) / (σ √m), μ / σ_μ, ln σ / σ_ln]: its shape as the
    z-normalised distance of Yeh et al. 2016 (STUMPY) sees it, whose square is 2 (1 - correlation), beside its
    level and size, to which that distance is blind. With B_c the bank of channel c:

        d²_c = mean over subsequences of min_{b in B_c} |v - b|²
        channel_score_c = (d²_c + ε_c) / (usual d²_c + ε_c)        score = sqrt(mean_c channel_score_c²)

    |v - b|² = |v|² - 2 v·b + |b|²: the whole search is one batched matrix product and one minimum. Channels are matched one by one (mSTAMP,
    Yeh et al. 2017), so relations between them are not seen. The graph holds standard operators alone, without a loop or a sort.
    """

    cells: Tensor
    quiet: Tensor
    weight: Tensor
    bank: Tensor
    usual: Tensor

    def __init__(self, shape: Shape, length: float, bank: int) -> None:
        super().__init__(shape.channels)
        self.register_buffer("cells", places(shape.window, length, _OVERLAP))
        self.register_buffer("quiet", torch.full((shape.channels, 1), _LEAST))
        self.register_buffer("weight", torch.ones(shape.channels, 1, 2))
        self.register_buffer("bank", torch.zeros(shape.channels, self.cells.shape[1] + 2, bank))
        self.register_buffer("usual", torch.ones(shape.channels))

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:  # noqa: ARG002 - normal windows only
        windows = windows[choose(len(windows), min(len(windows), _MOST_WINDOWS))]
        pieces = cut(self.normalise(windows), self.cells)
        self.quiet.copy_((_QUIETEST * pieces.var(3, correction=0).mean((0, 2)).sqrt())[:, None].clamp(min=_LEAST))
        self.weight.fill_(1)
        sizes = self._vectors(windows)[..., -2:].double().std(1, keepdim=True)
        self.weight.copy_(1 / torch.where(sizes > _LEAST, sizes, torch.ones_like(sizes)))
        chosen = choose(len(windows) * len(self.cells), self.bank.shape[2])
        self.bank.copy_(self._vectors(windows)[:, chosen].transpose(1, 2))
        # The nearest may be the subsequence itself, so the second tells what is usual.
        second = [
            self._distances(part).topk(2, dim=2, largest=False).values[..., 1] for part in torch.split(windows, 256)
        ]
        self.usual.copy_(torch.cat(second, 1).mean(1).clamp(min=_LEAST))

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        nearest = self._distances(window).amin(2).clamp(min=0)
        distance = torch.unflatten(nearest, 1, (-1, len(self.cells))).mean(2).T
        alike = _ALIKE * self.usual
        channel_score = (distance + alike) / (self.usual + alike)
        return channel_score.square().mean(1).sqrt(), channel_score

    def _distances(self, windows: Tensor) -> Tensor:
        """Squared distances [channels, batch x subsequences, bank]."""
        vectors = self._vectors(windows)
        products = torch.matmul(vectors, self.bank)
        squares = vectors.square().sum(2, keepdim=True) + self.bank.square().sum(1, keepdim=True)
        return squares - 2 * products

    def _vectors(self, windows: Tensor) -> Tensor:
        """[channels, batch x subsequences, length + 2]."""
        pieces = cut(self.normalise(windows), self.cells)
        mean = pieces.mean(3, keepdim=True)
        shape = pieces - mean
        deviation = (shape.square().mean(3) + self.quiet.square()).sqrt().unsqueeze(3)
        shape = shape / (deviation * pieces.shape[3] ** 0.5)
        vectors = torch.cat([shape, torch.cat([mean, deviation.log()], 3) * self.weight], 3)
        return vectors.transpose(0, 1).flatten(1, 2)


FAMILY = Family(
    "nearest-subsequence",
    NearestSubsequence,
    {"length": Option(0.5, low=0.125, high=1.0), "bank": Option(256, low=32, high=1024, log=True)},
    permutes=True,
)

"""A small self-supervised network that embeds patches, and a memory of normal ones to compare with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.residual import ResidualDetector

_SHORTEST = 4  # cells a patch
_MARGIN = 0.5  # of the triplet, in cosine similarity
_JITTER = 0.1  # standard deviations, on the positive patch
_TEMPERATURE = 0.05  # of the recall, in cosine similarity
_FAINT = 0.1  # standard deviations: what moves less has no shape
_MEMORISED = 2 / 3  # of the windows; what is usual is learnt on the later ones, which the memory does not hold
_ROUNDS = 10  # of k-means
_LEARNED = 20_000  # patches at most that the memory is made of
_NEAREST = 0.01  # a smaller mean distance would be the rounding of cosines in float32


class _Encoder(nn.Module):
    """The shape of a patch [n, channels, length], whatever its level and scale, as a point on the unit sphere [n, dimension]."""

    def __init__(self, channels: int, width: int, dimension: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(channels, width, 7, padding=3),
            nn.GELU(),
            nn.Conv1d(width, 2 * width, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(2 * width, 2 * width, 3, stride=2, padding=1),
            nn.GELU(),
        )
        self.head = nn.Linear(2 * width, dimension)

    def forward(self, patches: Tensor) -> Tensor:
        centred = patches - patches.mean(2, keepdim=True)
        # Again: the mean of a high level is off by its rounding, which would be a good part of the shape of a patch that hardly moves.
        centred = centred - centred.mean(2, keepdim=True)
        shape = centred / (centred.square().mean(2, keepdim=True).sqrt() + _FAINT)
        return F.normalize(self.head(self.layers(shape).mean(2)), dim=1)


class PatchMemory(ResidualDetector):
    """With p the half overlapping patches of a window, e(p) on the unit sphere, and a memory of K normal patches m_k with keys k:

        a_k = softmax_k(e(p) · k / 0.05)        r = z - overlap-add of Σ_k a_k m_k
        score = ResidualScore(r) + mean_p (1 - max_k e(p) · k) / its mean on normal windows

    The first part asks how a patch differs from the normal ones of its shape, and gives channel_score; the second how little it resembles
    any. e sees each patch with its own level and scale taken out, and learns from normal windows alone: a patch is drawn to one that
    overlaps it and away from another window's (triplet loss), and tells what follows it from what does not (pretext). Keys and patches
    are the means of k-means clusters. After Park and Kang, PaAno (ICLR 2026, arXiv:2602.01359), which has the distance alone: it
    is blind to level, and cannot say which channel is strange, so that here the memory recalls patches as well.
    Operators: Conv, Gelu, MatMul, Softmax, ReduceMax; the search is one matrix product, and none leaves an accelerator.
    """

    keys: Tensor
    values: Tensor
    overlap: Tensor
    usual: Tensor

    def __init__(self, shape: Shape, length: int, width: int, dimension: int, memory: int) -> None:
        super().__init__(shape.channels, shape.window)
        self._length = length
        self._latest = shape.window - length
        self._starts = sorted({*range(0, self._latest, max(1, length // 2)), self._latest})
        self.register_buffer("keys", torch.zeros(memory, dimension))
        self.register_buffer("values", torch.zeros(memory, shape.channels * length))
        self.register_buffer("overlap", _overlap(self._starts, length, shape.window), persistent=False)
        self.register_buffer("usual", torch.ones(()))
        self.encoder = _Encoder(shape.channels, width, dimension)
        self.follows = nn.Sequential(nn.Linear(2 * dimension, dimension), nn.GELU(), nn.Linear(dimension, 1))

    def explain(self, seen: Tensor) -> Tensor:
        return self._recall(self._similarity(self._patches(seen)))

    def loss(self, windows: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG002 - normal windows only
        seen = self.see(windows)
        start = torch.randint(self._latest + 1, (len(seen),), device=seen.device)
        shift = torch.randint(-(self._length // 4), self._length // 4 + 1, (len(seen),), device=seen.device)
        near = self._at(seen, (start + shift).clamp(0, self._latest))
        anchor = self.encoder(self._at(seen, start))
        positive = self.encoder(near + _JITTER * torch.randn_like(near))
        after = self.encoder(self._at(seen, (start + self._length).clamp(max=self._latest)))
        foreign = anchor.roll(len(anchor) // 2, 0)  # validation comes in order of time, and neighbours overlap
        triplet = F.relu(_MARGIN - (anchor * positive).sum(1) + (anchor * foreign).sum(1)).mean()
        pairs = (self.follows(torch.cat([anchor, other], 1)) for other in (after, foreign))
        following, strange = pairs
        return triplet + (F.softplus(-following) + F.softplus(strange)).mean() / 2

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:
        border = round(_MEMORISED * len(windows))
        early, late = windows[:border], windows[border:]
        patches = torch.cat([self._patches(self.see(part)).flatten(0, 1) for part in torch.split(early, 256)])
        patches = patches[:: -(-len(patches) // _LEARNED)]
        self._memorise(patches, torch.cat([self.encoder(part) for part in torch.split(patches, 1024)]))
        near = [_distance(self._similarity(self._patches(self.see(part)))) for part in torch.split(late, 256)]
        self.usual.copy_(torch.cat(near).double().mean().clamp(min=_NEAREST))
        super().fit_score(late, labels[border:])

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        similarity = self._similarity(self._patches(self.see(window)))
        score, channel_score = self.measure(self.normalise(window) - self._recall(similarity))
        return score + _distance(similarity) / self.usual, channel_score

    def embed(self, windows: Tensor) -> Tensor:
        """The mean of the points of a window's patches [batch, dimension]."""
        patches = self._patches(self.see(windows))
        points: Tensor = self.encoder(patches.flatten(0, 1))
        return points.reshape(*patches.shape[:2], self.keys.shape[1]).mean(1)

    def _patches(self, seen: Tensor) -> Tensor:
        """The window's patches at fixed places, [batch, patches, channels, length]."""
        return torch.stack([seen[:, :, start : start + self._length] for start in self._starts], 1)

    def _at(self, seen: Tensor, starts: Tensor) -> Tensor:
        """One patch a window [batch, channels, length], each at its own start."""
        cells = starts[:, None, None] + torch.arange(self._length, device=seen.device)
        return seen.gather(2, cells.expand(-1, seen.shape[1], -1))

    def _similarity(self, patches: Tensor) -> Tensor:
        """Cosine of every patch [batch, patches, ...] to every key, [batch, patches, memory]."""
        points = self.encoder(patches.flatten(0, 1))
        cosine: Tensor = torch.matmul(points, self.keys.T).reshape(*patches.shape[:2], len(self.keys))
        return cosine

    def _recall(self, similarity: Tensor) -> Tensor:
        """The window that the memory holds for patches of this similarity, [batch, channels, time]."""
        patches = torch.matmul((similarity / _TEMPERATURE).softmax(2), self.values)
        channels = self.values.shape[1] // self._length
        cells = patches.reshape(*patches.shape[:2], channels, self._length).transpose(1, 2).flatten(2)
        return torch.matmul(cells, self.overlap)

    def _memorise(self, patches: Tensor, points: Tensor) -> None:
        """Spherical k-means over `points`, begun at points evenly spread in time, so that the same data give the same memory."""
        spread = torch.linspace(0, len(points) - 1, len(self.keys), device=points.device).round().long()
        keys, values = points[spread], patches.flatten(1)
        for _ in range(_ROUNDS):
            mine = F.one_hot((points @ keys.T).argmax(1), len(keys)).to(points.dtype)
            members = mine.sum(0)[:, None]
            keys = torch.where(members > 0, F.normalize(mine.T @ points, dim=1), keys)
        means = mine.T @ values / members.clamp(min=1)
        self.values.copy_(torch.where(members > 0, means, values[spread]))
        self.keys.copy_(keys)


def _distance(similarity: Tensor) -> Tensor:
    """How little the patches of each window resemble any in memory, [batch]."""
    return (1 - similarity.amax(2)).mean(1)


def _overlap(starts: list[int], length: int, window: int) -> Tensor:
    """The matrix [patches x length, time] that lays patches side by side and takes the mean where they overlap."""
    cells = torch.tensor(starts)[:, None] + torch.arange(length)
    laid = F.one_hot(cells.flatten(), window).float()
    return laid / laid.sum(0)


def _build(shape: Shape, patches: int, width: int, dimension: int, memory: int) -> Detector:
    length = max(min(_SHORTEST, shape.window), -(-shape.window // patches))
    return PatchMemory(shape, length, width, dimension, memory)


FAMILY = Family(
    "patch-memory",
    _build,
    {
        "patches": Option(4, 1, 8),
        "width": Option(32, 16, 128, log=True),
        "dimension": Option(32, 16, 128, log=True),
        "memory": Option(256, 32, 1024, log=True),
    },
)

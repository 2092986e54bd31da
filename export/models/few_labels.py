"""Kinds of fault from few labels: an embedding learned without any, the strangeness of each channel, and a linear rule."""

from __future__ import annotations

import torch
from torch import Tensor

from export.models.classifier import Box, Classifier
from export.models.family import Family, Option, Shape
from export.models.features import in_parts
from export.models.kinds_head import PRIOR, KindsHead
from export.models.patch_memory import FAMILY as PATCH_MEMORY
from export.models.patch_memory import PatchMemory

_DIMENSION = 16  # of the embedding: few labels bear few numbers
_LEAST = 0.05  # of what is usual: what is quieter is quiet, and its digits are rounding


class FewLabels(Classifier):
    """With e(p) the self-supervised embedding of the half overlapping patches p of a window, s and c the score and channel scores of
    `export.models.patch_memory`, which knows normal patches alone:

        φ = [mean_p e(p), ln c, ln s]        l = W φ + b (`export.models.kinds_head`)        far = Σ_i |u_i - û_i|,  u = [ln c, ln s]
        score = ln(1 + odds / usual odds) + far        channel_score = c

    e learns from every window and no label; only the few numbers of W and b are fitted to labels, with a ridge, in closed form. û is the nearest point to
    u in the range of training: what is stranger than everything labelled stays so. Self-supervision before few labels: Chen et al. 2020 (arXiv:2006.10029);
    the embedding is PaAno's (Park and Kang 2026). Operators: those of patch-memory, Log and Softmax; none leaves an accelerator.
    """

    def __init__(self, shape: Shape, width: int, prior: float) -> None:
        super().__init__(shape.channels)
        built = PATCH_MEMORY.new(shape, {"width": width, "dimension": _DIMENSION})
        assert isinstance(built, PatchMemory)
        self.memory = built
        self.memory.mean, self.memory.std = self.mean, self.std  # one normalisation for both
        self.box = Box(shape.channels + 1)
        self.head = KindsHead(_DIMENSION + shape.channels + 1, shape.kinds, prior)

    def loss(self, windows: Tensor, labels: Tensor) -> Tensor:
        return self.memory.loss(windows, labels)

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:
        self.memory.fit_score(windows[labels == 0], labels[labels == 0])
        strange = in_parts(lambda part: _logs(*self.memory(part)), windows)
        self.box.fit(strange)
        represented = torch.cat([in_parts(self.memory.embed, windows), strange], 1)
        self.head.fit(represented, labels)
        self.head.fit_usual(represented[labels == 0])

    def classify(self, window: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        score, channel_score = self.memory(window)
        strange, beyond = self.box(_logs(score, channel_score))
        evidence = self.head(torch.cat([self.memory.embed(window), strange], 1))
        found = self.head.score(self.head.log_odds(evidence)) + beyond.sum(1)
        return found, channel_score, self.head.probability(evidence)


def _logs(score: Tensor, channel_score: Tensor) -> Tensor:
    """Logarithms of the channel scores and, last, of the score [batch, channels + 1]."""
    return (torch.cat([channel_score, score.unsqueeze(1)], 1) + _LEAST).log()


FAMILY = Family("few-labels", FewLabels, {"width": Option(32, 16, 128, log=True), "prior": PRIOR}, supervised=True)

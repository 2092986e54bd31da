"""What models that know kinds of fault share: three outputs, and the channels' shares in the verdict by leaving each out."""

from __future__ import annotations

import abc

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.models.detector import Detector
from export.models.family import Shape
from export.models.features import in_parts
from export.models.kinds_head import KindsHead

_FLOOR = 1.0  # nats: a channel that speaks for normal operation, or hardly against it


class Classifier(Detector):
    """A supervised model that also says which kind: class_probability [batch, kinds], normal operation first, adding up to 1."""

    @abc.abstractmethod
    def classify(self, window: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score [batch], channel_score [batch, channels] and class_probability [batch, kinds]: the three outputs of the graph."""

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        score, channel_score, _ = self.classify(window)
        return score, channel_score


class Box(nn.Module):
    """The range of features [..., n] in training. A classifier knows nothing beyond it: it sees the edge, and how far out is said beside it."""

    low: Tensor
    high: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(shape))
        self.register_buffer("high", torch.zeros(shape))

    def fit(self, features: Tensor) -> None:
        self.low.copy_(features.amin(0))
        self.high.copy_(features.amax(0))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest point of the box, and the distance to it along each axis."""
        seen = torch.minimum(torch.maximum(features, self.low), self.high)
        return seen, (features - seen).abs()


class ChannelwiseClassifier(Classifier):
    """Sees each channel by itself as features v_c, of mean 0 on normal windows, and all of them together in φ(v).

        e = ln odds of a fault (`export.models.kinds_head`) at φ(v̂), v̂ the nearest point to v in the range of training
        δ_c = ½ (e(v̂) - e(v̂ without c)) + ½ (e(c alone) - e(none))        far_c = sqrt(mean_i (v_ci - v̂_ci)²)
        channel_score_c = 1 + max(0, δ_c) + far_c        score = ln(1 + exp(e - usual e)) + Σ_c far_c

    A channel left out has its features at their normal mean: occlusion (Zeiler and Fergus 2014), at either end of all orders in which
    channels can be left out, for the mean over them (Shapley value). Only φ is computed once more for each, in one batch. What lies outside everything
    labelled, normal or not, is stranger the further out it is, whatever a boundary there would say.
    """

    alone: Tensor
    none: Tensor
    head: KindsHead

    def __init__(self, shape: Shape, features: int, prior: float, represented: int) -> None:
        super().__init__(shape.channels)
        self.register_buffer("alone", torch.eye(shape.channels).unsqueeze(2), persistent=False)
        self.register_buffer("none", torch.zeros(1, shape.channels, features), persistent=False)
        self.box = Box(shape.channels, features)
        self.head = KindsHead(represented, shape.kinds, prior)

    @abc.abstractmethod
    def view(self, windows: Tensor) -> Tensor:
        """Features v [batch, channels, features] of windows in engineering units."""

    @abc.abstractmethod
    def represent(self, view: Tensor) -> Tensor:
        """φ [batch, represented] of v."""

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:
        view = in_parts(self.view, windows)
        self.box.fit(view)
        represented = in_parts(self.represent, view)
        self.head.fit(represented, labels)
        self.head.fit_usual(represented[labels == 0])

    def classify(self, window: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        view, beyond = self.box(self.view(window))
        far = beyond.square().mean(2).sqrt()
        evidence = self.head(self.represent(view))
        log_odds = self.head.log_odds(evidence)
        channel_score = _FLOOR + self._shares(view, log_odds).clamp(min=0) + far
        return self.head.score(log_odds) + far.sum(1), channel_score, self.head.probability(evidence)

    def _shares(self, view: Tensor, log_odds: Tensor) -> Tensor:
        """δ [batch, channels]."""
        every = view.unsqueeze(1)
        asked = torch.cat([every * (1 - self.alone), every * self.alone], 1)
        without, only = self._log_odds(asked.flatten(0, 1)).reshape(-1, 2, view.shape[1]).unbind(1)
        return (log_odds.unsqueeze(1) - without + only - self._log_odds(self.none)) / 2

    def _log_odds(self, view: Tensor) -> Tensor:
        return self.head.log_odds(self.head(self.represent(view)))


class Perceptron(nn.Module):
    """x and what a multilayer perceptron of two hidden layers makes of it, side by side, to which a linear rule is fitted afterwards.

    `loss` teaches the hidden layers by a linear rule of their own, which is thrown away: representation and boundary are learned one after the
    other (Kang et al. 2020), and the boundary is the best there is for what was learned. The path around the hidden layers is that of
    Cheng et al. 2016 (wide and deep).
    """

    def __init__(self, features: int, hidden: int, kinds: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(features, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU())
        self.rule = nn.Linear(features + hidden, kinds)
        self.width = features + hidden

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.hidden(x)], 1)

    def loss(self, represented: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.rule(represented), labels)

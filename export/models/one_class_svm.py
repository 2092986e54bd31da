"""The support of normal windows by a one-class support vector machine, its decision on a scale that does not saturate."""

from __future__ import annotations

import torch
from sklearn.svm import OneClassSVM
from torch import Tensor

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.features import WindowFeatures
from export.models.quadratic_form import QuadraticForm
from export.models.subsequences import choose

_KINDS = ("level", "spread")
_NONE = -1e30  # the logarithm of no weight


class SupportOfNormal(Detector):
    """One-class SVM (Schölkopf et al. 2001) with a Gaussian kernel on whitened window features x.

    The machine's decision Σ_i α_i exp(-γ |x - s_i|²) - ρ is nearly the same for all that lies outside. Its logarithm orders windows alike and goes on
    growing with the distance; with ᾱ = α / Σ α, at least 0 everywhere:

        score = -ln Σ_i ᾱ_i exp(-γ |x - s_i|²)
        channel_score_c = γ Σ_i w_i |x_c - s_ic|²,   w = softmax_i(ln ᾱ_i - γ |x - s_i|²)

    the mean squared distance to the support vectors that matter here, by channel; its sum differs from the score only by how far those
    vectors are fewer than all (score = Σ_c channel_score_c + relative entropy of w to ᾱ). γ = 1 / (2 x features).
    Distances are matrix products. The graph holds standard operators alone, without a loop or a sort.
    """

    vectors: Tensor
    log_weight: Tensor

    def __init__(self, shape: Shape, nu: float, vectors: int) -> None:
        super().__init__(shape.channels)
        self._nu = nu
        self.features = WindowFeatures(shape.channels, shape.window, _KINDS)
        self.whitening = QuadraticForm(shape.channels * len(_KINDS))
        count = shape.channels * len(_KINDS)
        self._gamma = 1 / (2 * count)
        self.register_buffer("vectors", torch.zeros(vectors, count))
        self.register_buffer("log_weight", torch.full((vectors,), _NONE))

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:  # noqa: ARG002 - normal windows only
        self.whitening.fit(self.features.fit(windows, self.normalise))
        # No more samples than there is room for: then there are never too many support vectors.
        most = len(self.vectors)
        chosen = windows[choose(len(windows), min(len(windows), most))] if len(windows) > most else windows
        machine = OneClassSVM(gamma=self._gamma, nu=self._nu).fit(self._whitened(chosen).double().numpy())
        count = len(machine.support_)
        weights = torch.from_numpy(machine.dual_coef_[0])
        self.vectors.zero_()[:count] = torch.from_numpy(machine.support_vectors_)
        self.log_weight.fill_(_NONE)[:count] = (weights / weights.sum()).log()

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        x = self._whitened(window)
        # |x|² is the same for all vectors: left out of the exponent, where it would drown their differences far outside.
        nearness = torch.matmul(x, self.vectors.T) * 2 - self.vectors.square().sum(1)
        exponent = self.log_weight + self._gamma * nearness
        weight = torch.softmax(exponent, 1)
        centre = torch.matmul(weight, self.vectors)
        around = (torch.matmul(weight, self.vectors.square()) - centre.square()).clamp(min=0)
        distances = self._gamma * ((x - centre).square() + around)
        score = self._gamma * x.square().sum(1) - torch.logsumexp(exponent, 1)
        return score.clamp(min=0), torch.unflatten(distances, 1, (-1, len(_KINDS))).sum(2)

    def _whitened(self, windows: Tensor) -> Tensor:
        features: Tensor = self.features(self.normalise(windows))
        return self.whitening.whiten(features).flatten(1)


FAMILY = Family(
    "one-class-svm",
    SupportOfNormal,
    {"nu": Option(0.1, low=0.01, high=0.5, log=True), "vectors": Option(512, low=64, high=2048, log=True)},
)

"""The probability of a fault by a support vector machine on window features, for machines whose faults have been labelled."""

from __future__ import annotations

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.svm import SVC
from torch import Tensor

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.fault_features import FaultFeatures, at_prior
from export.models.features import in_parts
from export.models.subsequences import choose

_FOLDS = 4
_FLOOR = 0.05  # of the margin, for a channel that speaks for the normal state
_LEAST_SLOPE = 1e-3  # a machine that cannot tell the classes apart still keeps their order


class FaultSvm(Detector):
    """C-SVM (Cortes and Vapnik 1995) with a Gaussian kernel on window features x (`export.models.fault_features`), normal against any fault, classes weighted alike.

        f(x) = Σ_i a_i exp(-γ |x - s_i|²) + b        p = 1 / (1 + exp(-(A f(x) + B)))        score = π p / (π p + (1 - π) (1 - p))
        channel_score_c = 0.05 + max(0, ½ (f(x) - f(x without c)) + ½ (f(c alone) - f(none)))

    A and B are Platt's 1999 calibration, fitted on blocks of windows that the machine had not seen, both kinds weighted alike; score is the probability of a fault where a share π of all windows are (`prior`). A channel
    left out has its features at their normal mean: the two differences, at either end of all orders in which channels could be left out, stand for the mean over
    them (Shapley value). The kernel is a product over channels, so each costs one more exponential and no second run. Features beyond the training range count as at its edge, else a fault stronger than any labelled one would
    be far from every support vector and look like nothing. γ = 1 / features. The graph holds standard operators alone, without a loop or a sort.
    """

    low: Tensor
    high: Tensor
    vectors: Tensor
    weight: Tensor
    offset: Tensor
    slope: Tensor
    bias: Tensor

    def __init__(self, shape: Shape, penalty: float, vectors: int, prior: float) -> None:
        super().__init__(shape.channels)
        self._penalty = penalty
        self._prior = prior
        self._gamma = 1 / (shape.channels * FaultFeatures.kinds)
        self.features = FaultFeatures(shape.channels, shape.window)
        self.register_buffer("low", torch.zeros(shape.channels, FaultFeatures.kinds))
        self.register_buffer("high", torch.zeros(shape.channels, FaultFeatures.kinds))
        self.register_buffer("vectors", torch.zeros(shape.channels, FaultFeatures.kinds, vectors))
        self.register_buffer("weight", torch.zeros(vectors))
        self.register_buffer("offset", torch.zeros(()))
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("bias", torch.zeros(()))

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:
        self.features.fit(windows[labels == 0], self.normalise)
        features = in_parts(self._seen, windows)
        self.low.copy_(features.amin(0))
        self.high.copy_(features.amax(0))
        chosen = _both_kinds(labels != 0, self.vectors.shape[2])
        samples, faulty = features[chosen].flatten(1).double().numpy(), (labels[chosen] != 0).numpy()
        machine = SVC(C=self._penalty, gamma=self._gamma, class_weight="balanced")
        # Unshuffled: each fold is a block of time of either kind, so that windows which overlap stay together.
        folds = StratifiedKFold(min(_FOLDS, faulty.sum(), (~faulty).sum()))
        unseen = cross_val_predict(machine, samples, faulty, cv=folds, method="decision_function")
        platt = LogisticRegression(class_weight="balanced").fit(unseen[:, None], faulty)
        machine.fit(samples, faulty)
        count = len(machine.support_)
        vectors = torch.unflatten(torch.from_numpy(machine.support_vectors_).float(), 1, self.low.shape)
        self.vectors.zero_()[:, :, :count] = vectors.permute(1, 2, 0)
        self.weight.zero_()[:count] = torch.from_numpy(machine.dual_coef_[0])
        self.offset.fill_(machine.intercept_[0])
        self.slope.fill_(max(platt.coef_[0, 0], _LEAST_SLOPE))
        self.bias.fill_(platt.intercept_[0])

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.minimum(torch.maximum(self._seen(window), self.low), self.high).transpose(0, 1)
        squares = self.vectors.square().sum(1, keepdim=True)
        distance = (x.square().sum(2, keepdim=True) + squares - 2 * torch.matmul(x, self.vectors)).transpose(0, 1)
        change = distance - squares.transpose(0, 1)
        whole, none = distance.sum(1), squares.sum((0, 1))
        decision = self._decision(whole)
        left_out = decision.unsqueeze(1) - self._decision(whole.unsqueeze(1) - change)
        put_in = self._decision(none + change) - self._decision(none)
        channel_score = _FLOOR + ((left_out + put_in) / 2).clamp(min=0)
        return at_prior(torch.sigmoid(self.slope * decision + self.bias), self._prior), channel_score

    def _seen(self, windows: Tensor) -> Tensor:
        features: Tensor = self.features(self.normalise(windows))[0]
        return features

    def _decision(self, distance: Tensor) -> Tensor:
        """The decision f from squared distances [..., vectors] to the support vectors."""
        return torch.matmul((-self._gamma * distance).exp(), self.weight.unsqueeze(1)).squeeze(-1) + self.offset


def _both_kinds(faulty: Tensor, room: int) -> Tensor:
    """At most `room` windows in order of time, int64 [n]: all of them, or half of each kind, or all of the rarer one and others."""
    faults, normal = faulty.nonzero()[:, 0], (~faulty).nonzero()[:, 0]
    taken = min(len(faults), max(room // 2, room - len(normal)))
    kinds = [faults[choose(len(faults), taken)], normal[choose(len(normal), min(len(normal), room - taken))]]
    return torch.cat(kinds).sort().values


FAMILY = Family(
    "svm",
    FaultSvm,
    {
        "penalty": Option(1.0, low=0.01, high=100.0, log=True),
        "vectors": Option(512, low=64, high=2048, log=True),
        "prior": Option(0.5, low=1e-4, high=0.9999, searched=False),
    },
    supervised=True,
)

"""The probability of a fault by a random forest on window features, for machines whose faults have been labelled."""

from __future__ import annotations

import torch
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.fault_features import FaultFeatures, at_prior
from export.models.features import in_parts
from export.models.soft_forest import SoftForest

# Windows alike to the forest are ordered by their distance from normal: many score 0 otherwise, and nothing can be calibrated on ties.
_TIE = 0.02
_FLOOR = 0.01  # of a channel that speaks for the normal state


class FaultForest(Detector):
    """Random forest (Breiman 2001) on window features and distances from normal, normal against any fault, classes weighted alike.

        p = mean over the trees of the share of faults in the window's leaf, both kinds weighted alike
        score = 0.98 π p / (π p + (1 - π) (1 - p)) + 0.02 / (1 + exp(-strangeness))        channel_score_c = 0.01 + max(0, δ_c)

    in 0 to 1: the probability of a fault where a share π of all windows are (`prior`), with δ_c what splits on channel c's features added to the probability, exactly additive (`export.models.soft_forest`), and its
    part of what splits on the whole window's strangeness added (`export.models.fault_features`): p = base + Σ_c δ_c. Features beyond the training range, where no split asks any more, count as at its edge. The graph holds standard operators alone, without a loop or a sort.
    """

    def __init__(self, shape: Shape, trees: int, depth: int, prior: float) -> None:
        super().__init__(shape.channels)
        self._prior = prior
        self.features = FaultFeatures(shape.channels, shape.window)
        # The strangeness of the whole window stands behind the channels as one more.
        self.forest = SoftForest(shape.channels + 1, trees, depth)
        self._channel_of = [
            *(index // FaultFeatures.kinds for index in range(shape.channels * FaultFeatures.kinds)),
            shape.channels,
        ]

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:
        self.features.fit(windows[labels == 0], self.normalise)
        features = in_parts(lambda part: self._seen(part)[0], windows)
        forest = RandomForestClassifier(
            self.forest.trees,
            max_depth=self.forest.depth,
            min_samples_leaf=2,
            class_weight="balanced_subsample",
            random_state=int(torch.randint(2**31 - 1, ())),
        ).fit(features.double().numpy(), (labels != 0).numpy())
        trees = [estimator.tree_ for estimator in forest.estimators_]
        values = [tree.value[:, 0, 1] / tree.value[:, 0].sum(1) for tree in trees]
        self.forest.fit(trees, values, self._channel_of)

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        features, shares = self._seen(window)
        added = self.forest(features)
        added = added[:, :-1] + added[:, -1:] * shares
        probability = (self.forest.base + added.sum(1)).clamp(0, 1)
        score = (1 - _TIE) * at_prior(probability, self._prior) + _TIE * features[:, -1].sigmoid()
        return score, _FLOOR + added.clamp(min=0)

    def _seen(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """What the trees may ask for [batch, features], the strangeness last, and the channels' shares of that."""
        each, strangeness, shares = self.features(self.normalise(windows))
        return torch.cat([each.flatten(1), strangeness.unsqueeze(1)], 1), shares


FAMILY = Family(
    "random-forest",
    FaultForest,
    {
        "trees": Option(64, low=16, high=256, log=True),
        "depth": Option(7, low=2, high=10),
        "prior": Option(0.5, low=1e-4, high=0.9999, searched=False),
    },
    supervised=True,
)

"""Which kind of fault, from a few numbers a channel, by a rule in closed form: no gradient steps, and few labels are enough."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from export.models.classifier import ChannelwiseClassifier
from export.models.family import Family, Option, Shape
from export.models.features import WindowFeatures
from export.models.kinds_head import PRIOR
from export.models.quadratic_form import QuadraticForm

_KINDS = ("level", "spread", "roughness", "slope")
# A classifier knows nothing of what is further out than its examples; rounding there must not matter.
_SEEN = 20.0
_LEAST = 1e-3
_SHORTEST = 4  # cells a segment
SEGMENTS = Option(1, 1, 32, log=True)


class FaultClassifier(ChannelwiseClassifier):
    """Multinomial logistic regression (Cox 1958) on level, spread, roughness and slope of each channel and their distances from normal.

        v_c = four features of each segment of channel c (`export.models.features`)        d² = the shares of their Mahalanobis distance
        φ = [arsinh v, ln mean_i v_ci², ln d²_c, ln Σ_c d²_c]

    Normal operation and every kind of fault have one evidence each; probabilities at the stated `prior`, the score and the channels'
    shares are those of `export.models.classifier`. The distances from normal need no labels, so that a few labelled faults are enough to learn
    how far is too far, in whatever channel and direction. `segments` cuts the window into equal parts with features of their own, for
    machines that work in cycles, where the window is a cycle and the fault has its place in it. Every operator runs on an accelerator (arsinh is written as a logarithm).
    """

    def __init__(self, shape: Shape, segments: int, prior: float, hidden: int = 0) -> None:
        self._length = -(-shape.window // min(segments, shape.window // _SHORTEST))
        self._segments = -(-shape.window // self._length)
        features = self._segments * len(_KINDS)
        self.linear = shape.channels * (features + 2) + 1
        super().__init__(shape, features, prior, self.linear + hidden)
        self.features = WindowFeatures(shape.channels * self._segments, self._length, _KINDS)
        self.distance = QuadraticForm(shape.channels * features)

    def fit_input(self, windows: Tensor) -> None:
        super().fit_input(windows)
        features = self.features.fit(windows, self._seen)
        self.distance.fit(features.reshape(len(windows), len(self.mean), -1))

    def view(self, windows: Tensor) -> Tensor:
        features: Tensor = self.features(self._seen(windows))
        return features.reshape(-1, len(self.mean), self._segments * len(_KINDS))

    def represent(self, view: Tensor) -> Tensor:
        shares = self.distance(view)
        strange = torch.cat([view.square().mean(2), shares, shares.sum(1, keepdim=True)], 1)
        return torch.cat([arsinh(view).flatten(1), (strange + _LEAST).log()], 1)

    def _seen(self, windows: Tensor) -> Tensor:
        """Each segment as if it were a channel [batch, channels x segments, length]; the oldest cell is repeated where they overfill the window."""
        z = self.normalise(windows).clamp(-_SEEN, _SEEN)
        padding = self._segments * self._length - z.shape[2]
        padded = F.pad(z, (padding, 0), mode="replicate") if padding else z
        return padded.reshape(-1, z.shape[1] * self._segments, self._length)


def arsinh(x: Tensor) -> Tensor:
    """Linear where x is small, a logarithm where it is large, odd; exact to the last bits on either side of 0."""
    size = x.abs()
    return torch.sign(x) * (size + (size.square() + 1).sqrt()).log()


FAMILY = Family("fault-classifier", FaultClassifier, {"segments": SEGMENTS, "prior": PRIOR}, supervised=True)

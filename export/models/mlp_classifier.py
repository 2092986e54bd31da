"""A multilayer perceptron on a few numbers a channel: the probability of a fault, and of each kind that labels name."""

from __future__ import annotations

from torch import Tensor

from export.models.classifier import Perceptron
from export.models.family import Family, Option, Shape
from export.models.fault_classifier import SEGMENTS, FaultClassifier
from export.models.kinds_head import PRIOR


class MlpClassifier(FaultClassifier):
    """With x what the linear fault classifier sees (`export.models.fault_classifier`):

        φ = [x, gelu(W₂ gelu(W₁ x + b₁) + b₂)]        l = W φ + b

    so that kinds may depend on several channels together: a fault is a high pressure at a low flow. W₁ and W₂ are learned by gradient steps on
    the cross entropy, every kind weighted alike (Rumelhart, Hinton and Williams 1986), W in closed form afterwards. Score,
    shares and probabilities are those of `export.models.classifier`. Operators: MatMul, Gelu, Softmax; none leaves an accelerator.
    """

    def __init__(self, shape: Shape, segments: int, hidden: int, prior: float) -> None:
        super().__init__(shape, segments, prior, hidden)
        self.perceptron = Perceptron(self.linear, hidden, shape.kinds)

    def represent(self, view: Tensor) -> Tensor:
        represented: Tensor = self.perceptron(super().represent(view))
        return represented

    def loss(self, windows: Tensor, labels: Tensor) -> Tensor:
        return self.perceptron.loss(self.represent(self.view(windows)), labels)


FAMILY = Family(
    "mlp-classifier",
    MlpClassifier,
    {"segments": SEGMENTS, "hidden": Option(64, low=16, high=256, log=True), "prior": PRIOR},
    supervised=True,
)

"""A multilayer perceptron that forecasts each patch of a window from the patches before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.patches import Patching, before
from export.models.residual import ResidualDetector

_PATCHES = 16


class MlpForecast(ResidualDetector):
    """Nonlinear autoregression over patches p_i of a sixteenth of the window, all channels together.

        p̂_i = W₂ gelu(W₁ gelu(W₀ [p_{i-1}, ..., p_{i-context}] + b₀) + b₁) + b₂        r = z - p̂

    scored as ResidualScore says. Nothing lies before the window: its first patches are forecast from zeros, and judged by the
    spread that this leaves. A lasting offset shows where it begins and where the window begins; in between the forecast
    follows it up to 5 standard deviations. The forecast of several cells by a perceptron goes back to Lapedes and Farber 1987; as a detector
    Munir et al. 2019 (DeepAnT, with convolutions). Operators: MatMul and Gelu, none leaves an accelerator.
    """

    def __init__(self, patching: Patching, hidden: int, context: int) -> None:
        super().__init__(patching.channels, patching.window)
        self._patching, self._context = patching, context
        self.network = nn.Sequential(
            nn.Linear(context * patching.width, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, patching.width),
        )

    def explain(self, seen: Tensor) -> Tensor:
        patches = self._patching.cut(seen)
        past = torch.cat([before(patches, steps) for steps in range(1, self._context + 1)], 2)
        return self._patching.join(self.network(past))


def _build(shape: Shape, hidden: int, context: int) -> Detector:
    patching = Patching.at_most(_PATCHES, shape.channels, shape.window)
    return MlpForecast(patching, hidden, min(context, patching.count - 1))


FAMILY = Family("mlp-forecast", _build, {"hidden": Option(64, 16, 256, log=True), "context": Option(4, 1, 12)})

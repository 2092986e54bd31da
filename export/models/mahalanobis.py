"""The Mahalanobis distance of window means and log standard deviations: shift, spread and broken relations between channels."""

from __future__ import annotations

import torch
from torch import Tensor

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.features import WindowFeatures
from export.models.quadratic_form import QuadraticForm

_KINDS = {
    "level+spread": ("level", "spread"),
    "spread+roughness": ("spread", "roughness"),  # where the level depends on how the sensor is mounted
    "level+spread+roughness": ("level", "spread", "roughness"),
    "all": ("level", "spread", "roughness", "slope", "high", "low"),
}


class Mahalanobis(Detector):
    """d² = fᵀ Σ⁻¹ f / n of the n window features f (`export.models.features`), Σ shrunk by Ledoit and Wolf 2004.

    channel_score_c sums (Σ^-½ f)_i² / n over the features i of channel c; score = Σ_c channel_score_c exactly (complete
    decomposition, Alcala and Qin 2009), near 1 on normal data. The distance is that of Mahalanobis 1936, on windows
    Hotelling's T² of subgroup means joined with that of subgroup spreads. The graph holds standard operators alone, without a loop or a sort.
    """

    def __init__(self, shape: Shape, features: str) -> None:
        super().__init__(shape.channels)
        kinds = _KINDS[features]
        self.features = WindowFeatures(shape.channels, shape.window, kinds)
        self.distance = QuadraticForm(shape.channels * len(kinds))

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:  # noqa: ARG002 - normal windows only
        self.distance.fit(self.features.fit(windows, self.normalise))

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        channel_score = self.distance(self.features(self.normalise(window)))
        return channel_score.sum(1), channel_score


FAMILY = Family("mahalanobis", Mahalanobis, {"features": Option("level+spread", choices=tuple(_KINDS))}, permutes=True)

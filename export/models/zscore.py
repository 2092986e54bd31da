"""The z-score of each channel's window mean and spread, squared and averaged: the plainest detector there is."""

from __future__ import annotations

import torch
from torch import Tensor

from export.models.detector import Detector
from export.models.family import Family, Shape
from export.models.features import WindowFeatures


class Zscore(Detector):
    """Shewhart 1931: x̄ and s charts of every channel, in one number.

    With level_c and spread_c the window's mean and log standard deviation, in standard deviations of their own normal spread:

        channel_score_c = (level_c² + spread_c²) / 2        score = sqrt(mean_c channel_score_c²)

    near 1 on normal data. The quadratic mean lets one strange channel speak without leaving all to a single one. The spread of means is measured, not taken as σ/√n: samples of machines are no independent draws.
    Relations between channels are not seen. The graph holds standard operators alone, without a loop or a sort.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape.channels)
        self.features = WindowFeatures(shape.channels, shape.window)

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:  # noqa: ARG002 - normal windows only
        self.features.fit(windows, self.normalise)

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        channel_score = self.features(self.normalise(window)).square().mean(2)
        return channel_score.square().mean(1).sqrt(), channel_score


FAMILY = Family("zscore", Zscore, permutes=True)

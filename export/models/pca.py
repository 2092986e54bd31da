"""Principal components: Hotelling's T² and the residual Q in one index, the statistical baseline of process monitoring."""

from __future__ import annotations

import torch
from scipy import stats
from torch import Tensor

from export.models.detector import Detector, across_channels
from export.models.family import Family, Shape

_VARIANCE_KEPT = 0.9
_CONFIDENCE = 0.99


class Pca(Detector):
    """The combined index of T² and Q, averaged over the window.

    With z a normalised sample, P the components that keep 90 % of the variance, Λ their variances:

        T² = zᵀ P Λ⁻¹ Pᵀ z        Q = zᵀ (I - P Pᵀ) z        φ = T² / T²_limit + Q / Q_limit = zᵀ Φ z

    Q's limit is that of Jackson and Mudholkar 1979, T²'s the chi-square quantile, both at 99 %; the sum of both is the
    combined index of Yue and Qin 2001. As Φ is positive definite, channel_score_c = mean_t (Φ^½ z)_c² splits φ over the channels
    without remainder (complete decomposition, Alcala and Qin 2009): score = Σ_c channel_score_c.
    """

    root: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.register_buffer("root", torch.eye(channels))

    def fit_score(self, windows: Tensor, labels: Tensor) -> None:  # noqa: ARG002 - normal windows only
        z = self.normalise(windows).transpose(1, 2).flatten(0, 1).double()
        _, singular, components = torch.linalg.svd(z - z.mean(0), full_matrices=False)
        # Copies of channels, and channels that never move, leave directions without variance; Q needs some in each.
        variances = (singular.square() / (len(z) - 1)).clamp(min=1e-6)
        kept = _kept(variances)
        t2_limit = float(stats.chi2.ppf(_CONFIDENCE, kept))
        outside = variances[kept:]
        weights = torch.empty_like(variances)
        weights[:kept] = 1 / variances[:kept] / t2_limit
        weights[kept:] = 1 / q_limit(outside, _CONFIDENCE) if len(outside) else 1.0
        self.root.copy_(components.T @ torch.diag(weights.sqrt()) @ components)

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        channel_score = across_channels(self.root, self.normalise(window)).square().mean(2)
        return channel_score.sum(1), channel_score


def q_limit(variances: Tensor, confidence: float) -> float:
    """Jackson and Mudholkar 1979: the quantile of Q given the variances [d] of the components left out."""
    t1, t2, t3 = (float(variances.pow(power).sum()) for power in (1, 2, 3))
    h = 1 - 2 * t1 * t3 / (3 * t2**2)
    normal = float(stats.norm.ppf(confidence))
    inner = normal * (2 * t2 * h**2) ** 0.5 / t1 + 1 + t2 * h * (h - 1) / t1**2
    return float(t1 * inner ** (1 / h))


def _kept(variances: Tensor) -> int:
    """How many components keep the wanted share of the variance."""
    share = torch.cumsum(variances, 0) / variances.sum()
    return min(int((share < _VARIANCE_KEPT).sum()) + 1, len(variances))


def _build(shape: Shape) -> Detector:
    return Pca(shape.channels)


FAMILY = Family("pca", _build, permutes=True)

"""What a network leaves unexplained of a window, as a score with exact shares of the channels."""

from __future__ import annotations

import abc

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.models.detector import FURTHEST, Detector, across_channels, whitening

# A network sees at most this many standard deviations, so that it cannot follow a fault out of the normal range.
_SEEN = 5.0
# No cell is expected to be explained to better than this part of its channel's standard deviation.
_FINEST = 1e-3
# A cell's own spread is believed as if its channel's had been seen in this many windows before.
_PRIOR_WINDOWS = 20
# Beyond this many root mean squares a residual counts by its logarithm: stranger stays stranger, and float32 loses nothing beside it.
_PLAIN = 30.0
# No feature is known to better than this: keeps rounding from being amplified where a channel rests.
_SUREST = 0.01
# Of a channel without any deviation, whose rounding would otherwise be all of a score near zero.
_REST = 0.1
_FEATURES = 3
_PART = 256
_JUDGED = 10_000  # windows at most that the normal covariance is learnt from


class ResidualScore(nn.Module):
    """How unusual the level, the loudness and the roughness of the residual are.

    With r the residual in units of its root mean square at each channel and cell (by its logarithm beyond 30), A the whitening of r cell by
    cell, w = A r, and three features of each channel of a window,

        f_1 = mean_t w        f_2 = ½ log var_t w        f_3 = ½ log mean_t (w_t - w_{t-1})²
        channel_score_c = 0.1 + mean_k (B_k (f_k - mean f_k))_c²        score = sqrt(mean_c channel_score_c²)

    where B_k whitens feature k over normal windows, so that all is near 1 there. Level sees lasting offsets, loudness and roughness see
    noise, spikes, oscillation, frozen sensors and broken relations between channels, both ways: a residual that is too quiet is strange
    too. The quadratic mean lets one strange channel speak without leaving all to a single one. The residual's covariance is used
    as in Malhotra et al. 2016 (EncDec-AD, arXiv:1607.00148); features 2 and 3 are Hjorth's activity and slope (1970).

    The form was chosen without any label, by `python -m tests.bench.residual_forms`: synthetic anomalies in held-out normal windows of four
    machines, mean ROC AUC over kinds of anomaly, machines and four networks. This form 0.810 (0.814 with the loudest channel in place
    of the quadratic mean), the Mahalanobis distance of r averaged over the window 0.719, with that of its mean added 0.728.
    """

    scale: Tensor
    relation: Tensor
    center: Tensor
    whiten: Tensor

    def __init__(self, channels: int, window: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(channels, window))
        self.register_buffer("relation", torch.eye(channels))
        self.register_buffer("center", torch.zeros(_FEATURES, 1, channels))
        self.register_buffer("whiten", torch.eye(channels).repeat(_FEATURES, 1, 1))

    @torch.no_grad()
    def fit(self, residual: Tensor) -> None:
        """Learn what is usual from `residual` [n, channels, time] of normal windows."""
        square = residual.double().square()
        cell, channel = square.mean(0), square.mean((0, 2))[:, None]
        mixed = (len(square) * cell + _PRIOR_WINDOWS * channel) / (len(square) + _PRIOR_WINDOWS)
        self.scale.copy_(mixed.sqrt().clamp(min=_FINEST))
        self.relation.copy_(whitening((residual / self.scale).transpose(1, 2).flatten(0, 1)))
        features = self._features(residual)
        self.center.copy_(features.mean(1, keepdim=True))
        for index, feature in enumerate(features - self.center):
            self.whiten[index] = whitening(feature, _SUREST**2)

    def forward(self, residual: Tensor) -> tuple[Tensor, Tensor]:
        """Score [batch] and channel_score [batch, channels] of `residual` [batch, channels, time]."""
        deviations = torch.matmul(self._features(residual) - self.center, self.whiten)
        channel_score = _REST + deviations.clamp(-FURTHEST, FURTHEST).square().mean(0)
        return channel_score.square().mean(1).sqrt(), channel_score

    def _features(self, residual: Tensor) -> Tensor:
        """Level, loudness and roughness [features, batch, channels]."""
        r = residual / self.scale
        beyond = _PLAIN * (r.abs().clamp(_PLAIN, FURTHEST) / _PLAIN).log()
        counted = r.clamp(-_PLAIN, _PLAIN) + r.sign() * beyond
        mean = counted.mean(2, keepdim=True)
        level = torch.matmul(mean.squeeze(2), self.relation.T)
        # Without the level first: whitened, it would round away what little one far-out channel leaves of the others' spread.
        w = across_channels(self.relation, counted - mean)
        loudness = w.square().mean(2)
        roughness = (w[:, :, 1:] - w[:, :, :-1]).square().mean(2)
        logarithms = [(power + _FINEST**2).log() / 2 for power in (loudness, roughness)]
        return torch.stack([level, *logarithms])


class ResidualDetector(Detector):
    """A network that explains normal windows, judged by what it leaves unexplained; see ResidualScore."""

    noise = 0.0  # in standard deviations, added to what the network is shown in training

    def __init__(self, channels: int, window: int) -> None:
        super().__init__(channels)
        self.measure = ResidualScore(channels, window)

    @abc.abstractmethod
    def explain(self, seen: Tensor) -> Tensor:
        """The normal window that `seen` [batch, channels, time] should be, in standard deviations, as far as the network knows."""

    def see(self, windows: Tensor) -> Tensor:
        """What the network is shown of `windows`: standard deviations from the mean, 5 at most."""
        return self.normalise(windows).clamp(-_SEEN, _SEEN)

    def residual(self, windows: Tensor) -> Tensor:
        """What the network cannot explain, in standard deviations [batch, channels, time]."""
        return self.normalise(windows) - self.explain(self.see(windows))

    def loss(self, windows: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG002 - normal windows only
        seen = self.see(windows)
        shown = seen + self.noise * torch.randn_like(seen) if self.training and self.noise else seen
        return F.mse_loss(self.explain(shown), seen)

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:  # noqa: ARG002 - normal windows only
        chosen = windows[:: max(1, -(-len(windows) // _JUDGED))]
        self.measure.fit(torch.cat([self.residual(part) for part in torch.split(chosen, _PART)]))

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        score: Tensor
        channel_score: Tensor
        score, channel_score = self.measure(self.residual(window))
        return score, channel_score

"""A 1-D convolutional autoencoder over time, all channels together, scored by its whitened residual."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.models.detector import Detector, whitening

_STRIDE = 8  # three halvings of time in the encoder
_LATENT = 8
# The network sees at most this many standard deviations, so that it cannot follow a fault out of the normal range.
_SEEN = 5.0
_NOISE = 0.1


class ConvAutoencoder(Detector):
    """Reconstruction error in units of its own normal covariance.

    With z the normalised window and r = z - decode(encode(clip(z))), A the whitening of r cell by cell and B that of its
    mean over the window:

        spread_c = mean_t (A r_t)_c²            shift_c = (B mean_t r_t)_c²
        channel_score_c = (spread_c + shift_c) / 2
        score = sqrt(mean_c channel_score_c²)

    both near 1 on normal data. `spread` sees noise, oscillation and broken relations between channels, `shift` sees small
    lasting offsets; the quadratic mean lets one strange channel speak without leaving all to a single one. The
    denoising convolutional autoencoder follows Vincent et al. 2008; the residual's Mahalanobis distance Malhotra et al. 2016
    (EncDec-AD). 66,000 parameters for 8 channels.
    """

    spread: Tensor
    shift: Tensor

    def __init__(self, channels: int, window: int) -> None:
        super().__init__(channels)
        self._window = window
        self._padding = -window % _STRIDE
        self.register_buffer("spread", torch.eye(channels))
        self.register_buffer("shift", torch.eye(channels))
        self.encoder = nn.Sequential(
            nn.Conv1d(channels, 32, 7, stride=2, padding=3),
            nn.GELU(),
            nn.Conv1d(32, 64, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(64, 64, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(64, _LATENT, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv1d(_LATENT, 64, 1),
            nn.GELU(),
            nn.Upsample(scale_factor=2),
            nn.Conv1d(64, 64, 5, padding=2),
            nn.GELU(),
            nn.Upsample(scale_factor=2),
            nn.Conv1d(64, 32, 5, padding=2),
            nn.GELU(),
            nn.Upsample(scale_factor=2),
            nn.Conv1d(32, channels, 7, padding=3),
        )

    def reconstruct(self, z: Tensor) -> Tensor:
        """The normal window nearest to `z` [batch, channels, time], as far as the network knows."""
        padded = F.pad(z, (0, self._padding), mode="replicate") if self._padding else z
        decoded: Tensor = self.decoder(self.encoder(padded))
        return decoded[:, :, : self._window]

    def residual(self, windows: Tensor) -> Tensor:
        z = self.normalise(windows)
        return z - self.reconstruct(z.clamp(-_SEEN, _SEEN))

    def loss(self, windows: Tensor) -> Tensor:
        z = self.normalise(windows)
        seen = z.clamp(-_SEEN, _SEEN)
        noisy = seen + _NOISE * torch.randn_like(seen) if self.training else seen
        return F.mse_loss(self.reconstruct(noisy), seen)

    @torch.no_grad()
    def fit_score(self, windows: Tensor) -> None:
        r = torch.cat([self.residual(part) for part in torch.split(windows, 256)])
        self.spread.copy_(whitening(r.transpose(1, 2).flatten(0, 1)))
        self.shift.copy_(whitening(r.mean(2)))

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        r = self.residual(window)
        spread = torch.matmul(self.spread, r).square().mean(2)
        shift = torch.matmul(r.mean(2), self.shift).square()
        channel_score = (spread + shift) / 2
        return channel_score.square().mean(1).sqrt(), channel_score


def build(channels: int, window: int) -> Detector:
    return ConvAutoencoder(channels, window)

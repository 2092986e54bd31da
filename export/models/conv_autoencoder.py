"""A 1-D convolutional autoencoder over time, all channels together, scored by its whitened residual."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.residual import ResidualDetector

_STRIDE = 8  # three halvings of time in the encoder


class ConvCodec(nn.Module):
    """The network: [batch, channels, time] to `latent` numbers every 8 cells, and back."""

    def __init__(self, channels: int, window: int, width: int, latent: int) -> None:
        super().__init__()
        self._window = window
        self._padding = -window % _STRIDE
        self.encoder = nn.Sequential(
            nn.Conv1d(channels, width, 7, stride=2, padding=3),
            nn.GELU(),
            nn.Conv1d(width, 2 * width, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(2 * width, 2 * width, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(2 * width, latent, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv1d(latent, 2 * width, 1),
            nn.GELU(),
            nn.Upsample(scale_factor=2),
            nn.Conv1d(2 * width, 2 * width, 5, padding=2),
            nn.GELU(),
            nn.Upsample(scale_factor=2),
            nn.Conv1d(2 * width, width, 5, padding=2),
            nn.GELU(),
            nn.Upsample(scale_factor=2),
            nn.Conv1d(width, channels, 7, padding=3),
        )

    def forward(self, seen: Tensor) -> Tensor:
        padded = F.pad(seen, (0, self._padding), mode="replicate") if self._padding else seen
        decoded: Tensor = self.decoder(self.encoder(padded))
        return decoded[:, :, : self._window]


class ConvAutoencoder(ResidualDetector):
    """With z the normalised window, clipped to 5 standard deviations:

        r = z - decode(encode(clip(z)))

    scored as ResidualScore says, a form that was chosen without labels. The denoising convolutional autoencoder follows Vincent et al. 2008, as a detector of machine faults
    Malhotra et al. 2016. 66,000 parameters for 8 channels. Operators: Conv, Gelu, Resize (nearest); none leaves an accelerator.
    """

    def __init__(self, shape: Shape, width: int, latent: int, noise: float) -> None:
        super().__init__(shape.channels, shape.window)
        self.noise = noise
        self.codec = ConvCodec(shape.channels, shape.window, width, latent)

    def explain(self, seen: Tensor) -> Tensor:
        explained: Tensor = self.codec(seen)
        return explained


def _build(shape: Shape, width: int, latent: int, noise: float) -> Detector:
    return ConvAutoencoder(shape, width, latent, noise)


FAMILY = Family(
    "conv-autoencoder",
    _build,
    {
        "width": Option(32, 8, 128, log=True),
        "latent": Option(8, 2, 32, log=True),
        "noise": Option(0.1, 0.0, 0.5),
    },
)

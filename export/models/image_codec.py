"""A small 2-D convolutional autoencoder for images of any size, spectrograms among them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

_STRIDE = 4  # two halvings of either side


class ImageCodec(nn.Module):
    """[batch, planes, rows, columns] to `latent` numbers every 4 x 4 cells, and back; edges are continued where 4 does not divide a side."""

    def __init__(self, planes: int, rows: int, columns: int, width: int, latent: int) -> None:
        super().__init__()
        self._rows, self._columns = rows, columns
        self._padding = (0, -columns % _STRIDE, 0, -rows % _STRIDE)
        self.encoder = nn.Sequential(
            nn.Conv2d(planes, width, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(2 * width, latent, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent, 2 * width, 1),
            nn.GELU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * width, width, 3, padding=1),
            nn.GELU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width, planes, 5, padding=2),
        )

    def forward(self, images: Tensor) -> Tensor:
        padded = F.pad(images, self._padding, mode="replicate") if any(self._padding) else images
        decoded: Tensor = self.decoder(self.encoder(padded))
        return decoded[:, :, : self._rows, : self._columns]

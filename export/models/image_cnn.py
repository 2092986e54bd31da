"""A 2-D convolutional autoencoder for small images, which arrive row by row as the channels of a window."""

from __future__ import annotations

from torch import Tensor

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.image_codec import ImageCodec
from export.models.residual import ResidualDetector


class ImageCnn(ResidualDetector):
    """The window is one image: channel c is its row c, cell t its column t. With z its normalised, clipped pixels:

        r = z - decode(encode(z + noise)),   both of 2-D convolutions        rows are scored as ResidualScore says

    A thermal or line camera, or a radar, of R rows and W columns is a device of R channels that sends a frame as W neighbouring samples; the
    contract has window = hop = W, and rate_hz = W times the frames a second, so that each window is one frame. A folder of images is an
    .npz array [frames, columns, rows], whose pieces no window straddles (docs/data.md). `channel_score` says which rows are strange. Masci et al. 2011
    (stacked convolutional autoencoders), denoising after Vincent et al. 2008. Operators: Conv, Gelu, Resize (nearest); none leaves an
    accelerator. For images of up to some 64 x 64; rows enter the score with a covariance of R x R.
    """

    def __init__(self, shape: Shape, width: int, latent: int, noise: float) -> None:
        super().__init__(shape.channels, shape.window)
        self.noise = noise
        self.codec = ImageCodec(1, shape.channels, shape.window, width, latent)

    def explain(self, seen: Tensor) -> Tensor:
        explained: Tensor = self.codec(seen.unsqueeze(1)).squeeze(1)
        return explained


def _build(shape: Shape, width: int, latent: int, noise: float) -> Detector:
    return ImageCnn(shape, width, latent, noise)


FAMILY = Family(
    "image-cnn",
    _build,
    {"width": Option(16, 8, 64, log=True), "latent": Option(8, 2, 32, log=True), "noise": Option(0.1, 0.0, 0.5)},
)

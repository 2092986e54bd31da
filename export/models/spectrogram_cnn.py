"""A 2-D convolutional autoencoder on log spectrograms, for vibration and sound, fitted to normal operation alone."""

from __future__ import annotations

import torch
from torch import Tensor

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.image_codec import ImageCodec
from export.models.residual import ResidualDetector
from export.models.spectrogram import LogSpectrogram


class SpectrogramCnn(ResidualDetector):
    """With S_c the log spectrogram of channel c, standardised by row (`export.models.spectrogram`), a plane of one image for each channel:

        r = S - decode(encode(S + noise)),   both of 2-D convolutions        rows x frames are scored as ResidualScore says

    ResidualScore takes the cells of an image one after another in place of time: their mean sees what is louder or quieter throughout, their spread sees
    single lines that rise or fall. Log spectra and autoencoders for machine sound: Koizumi et al. 2020 (DCASE, arXiv:2006.05822); denoising
    after Vincent et al. 2008. Operators: Conv (the Fourier transform among them), Log, Gelu, Resize (nearest); none leaves an accelerator.
    """

    def __init__(self, shape: Shape, frame: int, width: int, latent: int, noise: float) -> None:
        spectrogram = LogSpectrogram(shape.channels, shape.window, frame)
        super().__init__(shape.channels, spectrogram.rows * spectrogram.frames)
        self.noise = noise
        self.spectrogram = spectrogram
        self.codec = ImageCodec(shape.channels, spectrogram.rows, spectrogram.frames, width, latent)

    def fit_input(self, windows: Tensor) -> None:
        super().fit_input(windows)
        self.spectrogram.fit(windows, super().normalise)

    def normalise(self, windows: Tensor) -> Tensor:
        """The images, cell after cell [batch, channels, rows x frames]."""
        image: Tensor = self.spectrogram(super().normalise(windows))
        return image.flatten(2)

    def explain(self, seen: Tensor) -> Tensor:
        image = torch.unflatten(seen, 2, (self.spectrogram.rows, self.spectrogram.frames))
        explained: Tensor = self.codec(image)
        return explained.flatten(2)


def _build(shape: Shape, frame: int, width: int, latent: int, noise: float) -> Detector:
    return SpectrogramCnn(shape, frame, width, latent, noise)


FAMILY = Family(
    "spectrogram-cnn",
    _build,
    {
        "frame": Option(64, 8, 512, log=True),
        "width": Option(16, 8, 64, log=True),
        "latent": Option(8, 2, 32, log=True),
        "noise": Option(0.1, 0.0, 0.5),
    },
)

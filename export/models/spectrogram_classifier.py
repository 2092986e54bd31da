"""Kinds of fault from log spectrograms by a 2-D convolutional network, for vibration and sound that somebody has labelled."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.models.classifier import ChannelwiseClassifier, Perceptron
from export.models.family import Family, Option, Shape
from export.models.fault_classifier import arsinh
from export.models.features import in_parts
from export.models.kinds_head import PRIOR
from export.models.spectrogram import LogSpectrogram

_LEARNED_FEATURES = 16  # a channel
_SEEN = 20.0
_LEAST = 1e-3


class SpectrogramClassifier(ChannelwiseClassifier):
    """With S_c the log spectrogram of channel c, standardised by row (`export.models.spectrogram`), and one network for all channels:

        v_c = [mean over frames of each row of S_c, 16 numbers that 2-D convolutions make of S_c]        x = [arsinh v, ln mean_rows v_c²]
        φ = [x, gelu(W₂ gelu(W₁ x + b₁) + b₂)]

    The convolutions see how lines move and beat within the window, the rows how loud they are, the perceptron several channels together. All of
    it is learned by gradient steps on the cross entropy, every kind weighted alike; the linear rule on φ in closed form afterwards. Score, shares and
    probabilities are those of `export.models.classifier`. CNNs on log spectra: Salamon and Bello 2017 (arXiv:1608.04363). Operators: Conv (the
    Fourier transform among them), Log, MatMul, Gelu, Softmax; none leaves an accelerator.
    """

    centre: Tensor

    def __init__(self, shape: Shape, frame: int, width: int, hidden: int, prior: float) -> None:
        spectrogram = LogSpectrogram(shape.channels, shape.window, frame)
        features = spectrogram.rows + _LEARNED_FEATURES
        linear = shape.channels * (features + 1)
        super().__init__(shape, features, prior, linear + hidden)
        self.register_buffer("centre", torch.zeros(shape.channels, features))
        self.spectrogram = spectrogram
        self.network = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=(2, 1), padding=1),
            nn.GELU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.GELU(),
        )
        rows_left = -(-spectrogram.rows // 4)
        self.features = nn.Linear(2 * width * rows_left, _LEARNED_FEATURES)
        self.perceptron = Perceptron(linear, hidden, shape.kinds)

    def fit_input(self, windows: Tensor) -> None:
        super().fit_input(windows)
        self.spectrogram.fit(windows, self.normalise)

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:
        self.centre += in_parts(self.view, windows[labels == 0]).double().mean(0).float()
        super().fit_score(windows, labels)

    def loss(self, windows: Tensor, labels: Tensor) -> Tensor:
        return self.perceptron.loss(self.represent(self.view(windows)), labels)

    def view(self, windows: Tensor) -> Tensor:
        image = self.spectrogram(self.normalise(windows))
        planes = self.network(image.clamp(-_SEEN, _SEEN).flatten(0, 1).unsqueeze(1))
        learned = self.features(planes.mean(3).flatten(1)).reshape(-1, image.shape[1], _LEARNED_FEATURES)
        view: Tensor = torch.cat([image.mean(3), learned], 2) - self.centre
        return view

    def represent(self, view: Tensor) -> Tensor:
        strange = view[:, :, : self.spectrogram.rows].square().mean(2)
        represented: Tensor = self.perceptron(torch.cat([arsinh(view).flatten(1), (strange + _LEAST).log()], 1))
        return represented


FAMILY = Family(
    "spectrogram-classifier",
    SpectrogramClassifier,
    {
        "frame": Option(64, 8, 512, log=True),
        "width": Option(8, 4, 32, log=True),
        "hidden": Option(32, 16, 256, log=True),
        "prior": PRIOR,
    },
    supervised=True,
)

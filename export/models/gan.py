"""A generator that reconstructs windows, trained against a discriminator that tells them from real ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.models.conv_autoencoder import ConvCodec
from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.residual import ResidualDetector

_FAINTEST = 1e-6


class Gan(ResidualDetector):
    """With G a convolutional autoencoder, D = sigmoid(w · f) the discriminator with features f, z the normalised window:

        min over G, max over D:  mean (z - G(z))² + adversary · (log D(z) + log(1 - D(G(z))))
        score = ResidualScore(z - G(z)) + kappa · |f(z) - f(G(z))|² / its mean on normal windows

    Both sides descend one loss: the gradient's sign is turned between D and G (the gradient reversal of Ganin and Lempitsky 2015),
    which is the minimax game of Goodfellow et al. 2014 in simultaneous steps. Its value has no minimum to stop at, so outside
    training the loss is the reconstruction's alone. Score as in f-AnoGAN (Schlegl et al. 2019), generator as in GANomaly (Akcay et al.
    2018). channel_score is the residual's part alone. Operators: Conv, Gelu, Resize (nearest), LeakyRelu; none leaves an accelerator.
    """

    usual: Tensor

    def __init__(self, shape: Shape, width: int, latent: int, adversary: float, kappa: float) -> None:
        super().__init__(shape.channels, shape.window)
        self._adversary, self._kappa = adversary, kappa
        self.register_buffer("usual", torch.ones(()))
        self.generator = ConvCodec(shape.channels, shape.window, width, latent)
        self.features = nn.Sequential(
            nn.Conv1d(shape.channels, width, 5, stride=2, padding=2),
            nn.LeakyReLU(0.2),
            nn.Conv1d(width, 2 * width, 5, stride=2, padding=2),
            nn.LeakyReLU(0.2),
        )
        self.real = nn.Linear(2 * width, 1)

    def explain(self, seen: Tensor) -> Tensor:
        explained: Tensor = self.generator(seen)
        return explained

    def loss(self, windows: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG002 - normal windows only
        seen = self.see(windows)
        made = self.generator(seen)
        reconstruction = F.mse_loss(made, seen)
        if not self.training:
            return reconstruction
        # The same values, with the gradient times -adversary on its way back to the generator.
        against = (1 + self._adversary) * made.detach() - self._adversary * made
        verdicts = F.softplus(-self._realness(seen)) + F.softplus(self._realness(against))
        return reconstruction + verdicts.mean()

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:
        super().fit_score(windows, labels)
        seen = self.see(windows)
        parts = [self._mismatch(part, self.generator(part)) for part in torch.split(seen, 256)]
        self.usual.copy_(torch.cat(parts).double().mean().clamp(min=_FAINTEST))

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.see(window)
        made = self.generator(seen)
        score, channel_score = self.measure(self.normalise(window) - made)
        return score + self._kappa * self._mismatch(seen, made) / self.usual, channel_score

    def _realness(self, windows: Tensor) -> Tensor:
        """The discriminator's logit [batch]."""
        logit: Tensor = self.real(self.features(windows).mean(2)).squeeze(1)
        return logit

    def _mismatch(self, seen: Tensor, made: Tensor) -> Tensor:
        """How far the discriminator's features of a window are from those of its reconstruction, [batch]."""
        distance: Tensor = (self.features(seen) - self.features(made)).square().mean((1, 2))
        return distance


def _build(shape: Shape, width: int, latent: int, adversary: float, kappa: float) -> Detector:
    return Gan(shape, width, latent, adversary, kappa)


FAMILY = Family(
    "gan",
    _build,
    {
        "width": Option(16, 8, 64, log=True),
        "latent": Option(8, 2, 32, log=True),
        "adversary": Option(0.02, 0.001, 0.5, log=True),
        "kappa": Option(0.2, 0.0, 1.0),
    },
)

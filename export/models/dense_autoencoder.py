"""A dense autoencoder: the whole window through a narrow layer and back."""

from __future__ import annotations

from torch import Tensor, nn

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.residual import ResidualDetector


class DenseAutoencoder(ResidualDetector):
    """With z the normalised window as one vector of channels times time:

        ẑ = D₂ gelu(D₁ E₂ gelu(E₁ z))        r = z - ẑ

    E₂ narrows to `latent` numbers; biases are left out above. Noise is added to z in training (denoising, Vincent et al. 2008); scored as
    ResidualScore says. Autoencoders as detectors: Sakurada and Yairi 2014. Operators: MatMul and Gelu, none leaves an accelerator.
    """

    def __init__(self, shape: Shape, hidden: int, latent: int, noise: float) -> None:
        super().__init__(shape.channels, shape.window)
        cells = shape.channels * shape.window
        self.noise = noise
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(cells, hidden), nn.GELU(), nn.Linear(hidden, latent))
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden),
            nn.GELU(),
            nn.Linear(hidden, cells),
            nn.Unflatten(1, (shape.channels, shape.window)),
        )

    def explain(self, seen: Tensor) -> Tensor:
        explained: Tensor = self.decoder(self.encoder(seen))
        return explained


def _build(shape: Shape, hidden: int, latent: int, noise: float) -> Detector:
    return DenseAutoencoder(shape, hidden, latent, noise)


FAMILY = Family(
    "dense-autoencoder",
    _build,
    {
        "hidden": Option(128, 32, 512, log=True),
        "latent": Option(8, 2, 64, log=True),
        "noise": Option(0.1, 0.0, 0.5),
    },
)

"""Recurrent networks over the patches of a window: the forecaster and the autoencoder that LSTM and GRU families share."""

from __future__ import annotations

from torch import Tensor, nn

from export.models.family import Option, Shape
from export.models.patches import Patching, before
from export.models.residual import ResidualDetector

Cell = type[nn.LSTM] | type[nn.GRU]

# A patch of cells a step: the state's loop is what takes time, on a CPU and more so on an accelerator.
STEPS = Option(32, 8, 64, log=True)
HIDDEN = Option(32, 8, 128, log=True)


class RecurrentForecast(ResidualDetector):
    """Forecasts each patch from the state that the patches before it have left."""

    def __init__(self, cell: Cell, shape: Shape, hidden: int, layers: int, steps: int) -> None:
        super().__init__(shape.channels, shape.window)
        self._patching = Patching.at_most(steps, shape.channels, shape.window)
        self.recurrent = cell(self._patching.width, hidden, layers, batch_first=True)
        self.head = nn.Linear(hidden, self._patching.width)

    def explain(self, seen: Tensor) -> Tensor:
        states, _ = self.recurrent(before(self._patching.cut(seen)))
        return self._patching.join(self.head(states))


class RecurrentAutoencoder(ResidualDetector):
    """Reads the window into one state, narrows it to `latent` numbers, and unrolls these into the window again."""

    def __init__(self, cell: Cell, shape: Shape, hidden: int, latent: int, steps: int) -> None:
        super().__init__(shape.channels, shape.window)
        self._patching = Patching.at_most(steps, shape.channels, shape.window)
        self.encoder = cell(self._patching.width, hidden, batch_first=True)
        self.narrow = nn.Linear(hidden, latent)
        self.decoder = cell(latent, hidden, batch_first=True)
        self.head = nn.Linear(hidden, self._patching.width)

    def explain(self, seen: Tensor) -> Tensor:
        states, _ = self.encoder(self._patching.cut(seen))
        code = self.narrow(states[:, -1:])
        unrolled, _ = self.decoder(code.expand(-1, self._patching.count, -1))
        return self._patching.join(self.head(unrolled))

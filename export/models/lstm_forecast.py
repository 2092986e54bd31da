"""An LSTM that forecasts each patch of a window from those before it."""

from __future__ import annotations

from torch import nn

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.recurrent import HIDDEN, STEPS, RecurrentForecast


class LstmForecast(RecurrentForecast):
    """With p_i the patches of a window, at most `steps` of them, and h_i the state of an LSTM:

        h_i = LSTM(h_{i-1}, p_{i-1})        p̂_i = W h_i + b        r = z - p̂

    scored as ResidualScore says; the first patch is forecast from zeros. Malhotra et al. 2015 (LSTM-AD). A lasting offset shows where it
    begins and where the window begins; in between the forecast follows it up to 5 standard deviations.
    Operators: one LSTM node a layer. TensorRT runs it as a loop, accelerators without an LSTM kernel (most NPUs) leave it to the CPU, and
    each step waits for the one before: hence patches of cells a step.
    ONNX Runtime on one core ran the node 4 times as fast as the same steps unrolled at batch 1, 1.17 times at batch 64.
    """


def _build(shape: Shape, hidden: int, layers: int, steps: int) -> Detector:
    return LstmForecast(nn.LSTM, shape, hidden, layers, steps)


FAMILY = Family("lstm-forecast", _build, {"hidden": HIDDEN, "layers": Option(1, 1, 3), "steps": STEPS})

"""A GRU that forecasts each patch of a window from those before it."""

from __future__ import annotations

from torch import nn

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.recurrent import HIDDEN, STEPS, RecurrentForecast


class GruForecast(RecurrentForecast):
    """With p_i the patches of a window, at most `steps` of them, and h_i the state of a GRU:

        h_i = GRU(h_{i-1}, p_{i-1})        p̂_i = W h_i + b        r = z - p̂

    scored as ResidualScore says; the first patch is forecast from zeros. The cell is that of Cho et al. 2014 (arXiv:1406.1078), the
    detector follows Malhotra et al. 2015. It follows lasting offsets as every forecaster does, see MlpForecast.
    Operators: one GRU node a layer, with `linear_before_reset`. TensorRT runs it as a loop, accelerators without a GRU kernel (most NPUs)
    leave it to the CPU, and each step waits for the one before: hence patches of cells a step.
    ONNX Runtime on one core ran the node 5 times as fast as the same steps unrolled at batch 1, 1.06 times at batch 64.
    """


def _build(shape: Shape, hidden: int, layers: int, steps: int) -> Detector:
    return GruForecast(nn.GRU, shape, hidden, layers, steps)


FAMILY = Family("gru-forecast", _build, {"hidden": HIDDEN, "layers": Option(1, 1, 3), "steps": STEPS})

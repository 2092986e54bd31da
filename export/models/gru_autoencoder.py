"""A GRU autoencoder: the window read into one state and unrolled again."""

from __future__ import annotations

from torch import nn

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.recurrent import HIDDEN, STEPS, RecurrentAutoencoder


class GruAutoencoder(RecurrentAutoencoder):
    """With p_1 ... p_n the patches of a window, at most `steps` of them:

        h_i = GRU_e(h_{i-1}, p_i)        c = W h_n        g_i = GRU_d(g_{i-1}, c)        r = z - (V g_1 ... V g_n)

    biases left out, c of `latent` numbers; scored as ResidualScore says. The cell is that of Cho et al. 2014 (arXiv:1406.1078), the
    detector that of Malhotra et al. 2016 (EncDec-AD, arXiv:1607.00148).
    Operators: two GRU nodes, with `linear_before_reset`. TensorRT runs them as loops, accelerators without a GRU kernel (most NPUs) leave
    them to the CPU, and each step waits for the one before: hence patches of cells a step.
    """


def _build(shape: Shape, hidden: int, latent: int, steps: int) -> Detector:
    return GruAutoencoder(nn.GRU, shape, hidden, latent, steps)


FAMILY = Family("gru-autoencoder", _build, {"hidden": HIDDEN, "latent": Option(8, 2, 32, log=True), "steps": STEPS})

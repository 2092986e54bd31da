"""An LSTM autoencoder: the window read into one state and unrolled again."""

from __future__ import annotations

from torch import nn

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.recurrent import HIDDEN, STEPS, RecurrentAutoencoder


class LstmAutoencoder(RecurrentAutoencoder):
    """With p_1 ... p_n the patches of a window, at most `steps` of them:

        h_i = LSTM_e(h_{i-1}, p_i)        c = W h_n        g_i = LSTM_d(g_{i-1}, c)        r = z - (V g_1 ... V g_n)

    biases left out, c of `latent` numbers; scored as ResidualScore says. Malhotra et al. 2016 (EncDec-AD, arXiv:1607.00148); as the decoder
    is given the code and never the window, it cannot copy a fault.
    Operators: two LSTM nodes. TensorRT runs them as loops, accelerators without an LSTM kernel (most NPUs) leave them to the CPU, and each
    step waits for the one before: hence patches of cells a step.
    """


def _build(shape: Shape, hidden: int, latent: int, steps: int) -> Detector:
    return LstmAutoencoder(nn.LSTM, shape, hidden, latent, steps)


FAMILY = Family("lstm-autoencoder", _build, {"hidden": HIDDEN, "latent": Option(8, 2, 32, log=True), "steps": STEPS})

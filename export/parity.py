"""PyTorch against ONNX Runtime on real windows and on hostile ones; a model whose two forms disagree is not shipped."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from agent.errors import BundleError
from agent.types import Float32Array
from export.models.classifier import Classifier
from export.models.detector import Detector
from export.to_onnx import outputs
from export.train import classify, run_model

Floats = npt.NDArray[np.floating]

RELATIVE = 1e-4
# Scores near 0 may differ by so much; a probability is a share of 1, however small it is.
_ABSOLUTE = {"score": 1e-6, "channel_score": 1e-6, "class_probability": 1e-4}


def check(model: Detector, onnx_model: bytes, windows: Float32Array) -> float:
    """The worst relative difference over `windows` [n, channels, time] and the edge windows; raises BundleError above 1e-4."""
    session = ort.InferenceSession(onnx_model, providers=["CPUExecutionProvider"])
    tried = np.concatenate([windows, edge_windows(windows)])
    worst = 0.0
    names = outputs(model)
    for name, promised, got in zip(names, run_torch(model, tried), session.run(names, {"window": tried}), strict=True):
        difference = relative_difference(name, got, promised)
        index = np.unravel_index(int(np.nan_to_num(difference, nan=np.inf).argmax()), difference.shape)
        if not difference[index] <= RELATIVE:
            raise BundleError(
                f"ONNX Runtime and PyTorch disagree: {name}{[int(i) for i in index]} is {got[index]:g} and {promised[index]:g}, "
                f"{difference[index]:.2g} apart where {RELATIVE:g} is allowed; the model is not exported"
            )
        worst = max(worst, float(difference[index]))
    return worst


def relative_difference(name: str, got: Floats, promised: Floats) -> Floats:
    """Of each number of the output `name`: relative to what was promised, with a floor, since a score near 0 has no digits to lose."""
    found: Floats = np.abs(got - promised) / (np.abs(promised) + _ABSOLUTE[name] / RELATIVE)
    return found


def run_torch(model: Detector, windows: Float32Array) -> tuple[Float32Array, ...]:
    """The outputs of the graph, in its order, as PyTorch computes them."""
    return classify(model, windows) if isinstance(model, Classifier) else run_model(model, windows)


def edge_windows(windows: Float32Array) -> Float32Array:
    """Windows no recording holds: all zero, each channel at its mean, huge, tiny, alternating; float32 [5, channels, time]."""
    shape = windows.shape[1:]
    mean = np.broadcast_to(windows.mean(axis=(0, 2), dtype=np.float64)[:, None], shape)
    alternating = np.broadcast_to(np.where(np.arange(shape[1]) % 2, -1e3, 1e3), shape)
    edges = [np.zeros(shape), mean, np.full(shape, 1e30), np.full(shape, 1e-30), mean + alternating]
    return np.array(edges, np.float32)

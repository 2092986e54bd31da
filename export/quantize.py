"""The int8 variant: learned layers with 8-bit weights and activations, whose ranges are those of training windows."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from agent.infer.opening import open_session
from agent.infer.providers import CPU
from agent.types import Float32Array
from export.parity import relative_difference

_KNOWN = ("Conv", "Gemm", "MatMul")  # what QDQ has integer kernels for on every provider
_CALIBRATED = 512  # windows
_BATCH = 32
_SHARES = (1.0, 0.75, 0.5)  # of the layers


class _Windows(CalibrationDataReader):  # type: ignore[misc]
    """Hands out batches of windows until there are no more."""

    def __init__(self, windows: Float32Array) -> None:
        self._batches = iter(np.array_split(windows, -(-len(windows) // _BATCH)))

    def get_next(self) -> dict[str, Float32Array] | None:
        """The next batch by input name, as ONNX Runtime asks for it."""
        batch = next(self._batches, None)
        return None if batch is None else {"window": batch}


def candidates(onnx_model: bytes, learned: Sequence[str], training: Float32Array) -> Iterator[bytes]:
    """The model with all layers of `learned` in int8, then without those whose rounding moves the score most; nothing where there is none.

    `training` float32 [n, channels, time] says what is usual. Static QDQ: weights symmetric by channel, activations symmetric by tensor, as
    every provider takes them. How much a layer moves the score is tried with it alone in int8, on the same windows.
    """
    usual = training[np.unique(np.linspace(0, len(training) - 1, min(_CALIBRATED, len(training))).astype(int))]
    graph = onnx.load_from_string(onnx_model).graph
    known = [node.name for node in graph.node if node.name in learned and node.op_type in _KNOWN]
    promised = _score(onnx_model, usual)
    moved = {name: _distance(_score(_quantized(onnx_model, [name], usual), usual), promised) for name in known}
    gentle = sorted(known, key=lambda name: moved[name])
    for count in sorted({round(share * len(known)) for share in _SHARES} - {0}, reverse=True):
        yield _quantized(onnx_model, gentle[:count], usual)


def _score(onnx_model: bytes, windows: Float32Array) -> Float32Array:
    score: Float32Array = open_session(onnx_model, [CPU], 1, {}).run(["score"], {"window": windows})[0]
    return score


def _distance(score: Float32Array, promised: Float32Array) -> float:
    return float(np.sqrt(np.square(relative_difference("score", score, promised)).mean()))


def _quantized(onnx_model: bytes, chosen: Sequence[str], usual: Float32Array) -> bytes:
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it recommends pre-processing, which the exporter has done
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            quantize_static(
                onnx.load_from_string(onnx_model),
                path,
                _Windows(usual),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                nodes_to_quantize=list(chosen),
                extra_options={"ActivationSymmetric": True},
            )
            data = path.read_bytes()
    finally:
        logger.setLevel(level)
    onnx.checker.check_model(data, full_check=True)
    return data

"""Which nodes of a graph are the layers that were learned, and the network between them: what may run in fewer bits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from export.models.detector import Detector

_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_RECURRENT = ("GRU", "LSTM")


def learned(graph: onnx.GraphProto, model: Detector) -> tuple[str, ...]:
    """Names of the nodes that multiply by a parameter of `model`, in the graph's order; none of a model fitted in closed form.

    Parameters are what gradient steps learned. Normalisation and score are buffers: they were fitted to the last digit and hold what is small
    beside what is large, so that fewer bits would cost them their meaning.

    None either of a recurrent model: each step feeds its rounding to the next, the recurrence is nearly all of its time, and ONNX Runtime 1.31's
    CPU provider, which has no kernel for it in fp16, crashes while it loads one.
    """
    if any(node.op_type in _RECURRENT for node in graph.node):
        return ()
    parameters = {_key(value) for each in model.parameters() for value in _forms(each.detach().cpu().numpy())}
    weights = {each.name for each in graph.initializer if _key(numpy_helper.to_array(each)) in parameters}
    return tuple(node.name for node in graph.node if node.op_type in _PRODUCTS and node.input[1] in weights)


def between(graph: onnx.GraphProto, layers: Collection[str]) -> set[str]:
    """The names of `layers` and of all nodes on a way from one of them to another: the network, without what is before and behind."""
    return _reached(graph.node, layers) & _reached(_turned(graph.node), layers)


def _forms(value: np.ndarray) -> Iterable[np.ndarray]:
    """As it is, and as the exporter turns it for a matrix product."""
    yield value
    if value.ndim == 2:
        yield value.T


def _key(value: np.ndarray) -> tuple[tuple[int, ...], bytes]:
    return value.shape, np.ascontiguousarray(value).tobytes()


def _reached(nodes: Iterable[onnx.NodeProto], start: Collection[str]) -> set[str]:
    """The names of `start` and of what follows from them; `nodes` stand in an order in which each follows what it needs."""
    found, values = set(), set()
    for node in nodes:
        if node.name in start or any(name in values for name in node.input if name):
            found.add(node.name)
            values.update(node.output)
    return found


def _turned(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The same with inputs for outputs, from the end to the beginning."""
    return [onnx.NodeProto(name=node.name, input=node.output, output=node.input) for node in reversed(nodes)]

"""The fp16 variant: the network between normalisation and score in half precision, everything else as it was."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import helper
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.transformers.float16 import convert_float_to_float16

from export import layers


def convert(onnx_model: bytes, learned: Sequence[str]) -> bytes:
    """`onnx_model` with the network around the nodes `learned` in fp16; `window` and all outputs stay float32.

    The network is cut out, converted by ONNX Runtime's own converter and put back. Given the whole model that converter would round the
    window in engineering units to fp16 before its mean is taken off, which leaves nothing of a pressure of 1000 bar that moves by 0.1.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(onnx_model))
    inside = layers.between(model.graph, learned)
    converted = convert_float_to_float16(_cut_out(model, inside), keep_io_types=True)
    _put_back(model.graph, inside, converted.graph)
    ONNXModel(model).topological_sort()
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def _cut_out(model: onnx.ModelProto, inside: set[str]) -> onnx.ModelProto:
    """The nodes `inside` as a model of its own, with the constants they use."""
    graph = model.graph
    nodes = [node for node in graph.node if node.name in inside]
    constants = {each.name: each for each in graph.initializer}
    used = dict.fromkeys(name for node in nodes for name in node.input if name)
    made = {name for node in nodes for name in node.output}
    asked = {name for node in graph.node if node.name not in inside for name in node.input}
    asked |= {each.name for each in graph.output}
    types = {each.name: each for each in (*graph.value_info, *graph.input, *graph.output)}
    cut = helper.make_graph(
        nodes,
        "network",
        [types[name] for name in used if name not in made and name not in constants],
        [types[name] for node in nodes for name in node.output if name in asked],
        [constants[name] for name in used if name in constants],
        value_info=[types[name] for name in made if name in types and name not in asked],
    )
    return helper.make_model(cut, opset_imports=model.opset_import, ir_version=model.ir_version)


def _put_back(graph: onnx.GraphProto, inside: set[str], network: onnx.GraphProto) -> None:
    """Replace the nodes `inside` by `network`; its constants get names of their own, since the rest goes on using the old ones."""
    own = {each.name: f"network/{each.name}" for each in network.initializer}
    nodes = [node for node in graph.node if node.name not in inside]
    for node in network.node:
        node.name = f"network/{node.name}"
        node.input[:] = [own.get(name, name) for name in node.input]
        nodes.append(node)
    for constant in network.initializer:
        constant.name = own[constant.name]
    used = {name for node in nodes for name in node.input}
    constants = [each for each in (*graph.initializer, *network.initializer) if each.name in used]
    for part, values in ((graph.node, nodes), (graph.initializer, constants), (graph.value_info, [])):
        del part[:]
        part.extend(values)

"""A trained model as one self-contained ONNX file with a free batch dimension."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass

import onnx
import torch

from export.models.detector import Detector

_OPSET = 20


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """The file's bytes and what the manifest says of them."""

    data: bytes
    opset: int
    parameters: int


def convert(model: Detector, channels: int, window: int) -> OnnxModel:
    """Export and check the graph: `window` float32 [batch, channels, time] to `score` and `channel_score`."""
    example = torch.zeros(2, channels, window)  # a batch of one would be taken for a constant
    batch = torch.export.Dim("batch", min=1, max=1024)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        program = torch.onnx.export(
            model.eval(),
            (example,),
            dynamo=True,
            external_data=False,
            opset_version=_OPSET,
            input_names=["window"],
            output_names=["score", "channel_score"],
            dynamic_shapes={"window": {0: batch}},
            verbose=False,
        )
    assert program is not None  # None is for the older exporter
    data: bytes = _without_traces(program.model_proto).SerializeToString()
    onnx.checker.check_model(data, full_check=True)
    return OnnxModel(data, _OPSET, sum(tensor.numel() for tensor in model.state_dict().values()))


def _without_traces(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The exporter notes in every node where on the workstation it came from; a bundle carries no such paths."""
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
    return proto

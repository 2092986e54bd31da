"""A trained model as one self-contained ONNX file with a free batch dimension."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass

import onnx
import torch
from torch import Tensor, nn

from export.models.classifier import Classifier
from export.models.detector import Detector

_OPSET = 20


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """The file's bytes and what the manifest says of them."""

    data: bytes
    opset: int
    parameters: int


class _Classify(nn.Module):
    """`classify` as a module's forward, which is what the exporter follows."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.model.classify(window)


def outputs(model: Detector) -> list[str]:
    """What the graph of `model` gives."""
    return ["score", "channel_score", *(["class_probability"] if isinstance(model, Classifier) else [])]


def convert(model: Detector, channels: int, window: int) -> OnnxModel:
    """Export and check the graph: `window` float32 [batch, channels, time] to `score`, `channel_score` and, of a classifier, `class_probability`."""
    example = torch.zeros(2, channels, window)  # a batch of one would be taken for a constant
    batch = torch.export.Dim("batch", min=1, max=1024)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        program = torch.onnx.export(
            (_Classify(model) if isinstance(model, Classifier) else model).eval(),
            (example,),
            dynamo=True,
            external_data=False,
            opset_version=_OPSET,
            input_names=["window"],
            output_names=outputs(model),
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

"""The model around an engine, read by onnx and by ONNX Runtime, who know the format better than we do."""

from __future__ import annotations

import onnx
import onnxruntime as ort
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NotImplementedHere

from agent.infer.engine_context import engine_model
from agent.infer.providers import TENSORRT_RTX

ENGINE = bytes(range(256)) * 40
MODEL = engine_model(
    ENGINE, TENSORRT_RTX, "sm89", {"window": [3, 8]}, {"score": [], "channel_score": [3], "class_probability": [2]}
)


def test_the_node_holds_the_engine_and_names_the_plug_in() -> None:
    (node,) = onnx.load_from_string(MODEL).graph.node
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    assert (node.op_type, node.domain) == ("EPContext", "com.microsoft")
    assert list(node.input) == ["window"]
    assert list(node.output) == ["score", "channel_score", "class_probability"]
    assert attributes["ep_cache_context"] == ENGINE
    assert attributes["embed_mode"] == 1
    assert attributes["source"] == TENSORRT_RTX.encode()
    assert attributes["hardware_architecture"] == b"89"


def test_its_inputs_and_outputs_are_those_of_a_stethos_model() -> None:
    graph = onnx.load_from_string(MODEL).graph
    found = {
        value.name: [each.dim_param or each.dim_value for each in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.output]
    }
    assert found == {
        "window": ["batch", 3, 8],
        "score": ["batch"],
        "channel_score": ["batch", 3],
        "class_probability": ["batch", 2],
    }
    assert {value.type.tensor_type.elem_type for value in [*graph.input, *graph.output]} == {onnx.TensorProto.FLOAT}


def test_onnx_finds_it_well_formed() -> None:
    onnx.checker.check_model(onnx.load_from_string(MODEL))


def test_onnx_runtime_takes_it_for_a_model_and_misses_nothing_but_the_plug_in() -> None:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    with pytest.raises((NotImplementedHere, Fail), match="EPContext"):
        ort.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])

"""What hides in a model's graph, and is found before ONNX Runtime sees it: real ONNX files, made by onnx itself."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from agent.decode.protobuf_wire import BYTES, VARINT, tag, write
from agent.errors import BundleError
from agent.infer.bundle import open_bundle, pack
from agent.infer.graph import check_graph
from tests.harness.bundles import KEY, PUBLIC, energy_model, full_entries, slow_model

WEIGHTS = numpy_helper.from_array(np.ones(4, np.float32), "weights")
NODE = helper.make_node("Identity", ["window"], ["score"])


def value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [4])


def graph(*nodes: onnx.NodeProto, weights: tuple[onnx.TensorProto, ...] = ()) -> onnx.GraphProto:
    return helper.make_graph(list(nodes), "g", [value("window")], [value("score")], list(weights))


def model(of: onnx.GraphProto, **more: object) -> onnx.ModelProto:
    return helper.make_model(of, opset_imports=[helper.make_opsetid("", 18)], ir_version=9, **more)


def external(tensor: onnx.TensorProto = WEIGHTS) -> onnx.TensorProto:
    """The tensor with its data in another file, as onnx itself writes it."""
    moved = onnx.TensorProto()
    moved.CopyFrom(tensor)
    onnx.external_data_helper.set_external_data(moved, location="/etc/passwd")
    moved.ClearField("raw_data")
    return moved


def custom(domain: str = "com.evil") -> onnx.NodeProto:
    return helper.make_node("Shell", ["window"], ["score"], domain=domain)


def branch(*nodes: onnx.NodeProto, weights: tuple[onnx.TensorProto, ...] = ()) -> onnx.NodeProto:
    """An If whose branches hold what is given."""
    inside = helper.make_graph(list(nodes), "branch", [], [value("inner")], list(weights))
    return helper.make_node("If", ["condition"], ["score"], then_branch=inside, else_branch=inside)


def refused(of: onnx.ModelProto | bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        check_graph(of if isinstance(of, bytes) else of.SerializeToString(), "model.onnx")


@pytest.mark.parametrize(
    "data",
    [
        energy_model(),
        slow_model(),
        model(graph(NODE, weights=(WEIGHTS,))).SerializeToString(),
        model(graph(branch(helper.make_node("Constant", [], ["inner"], value=WEIGHTS)))).SerializeToString(),
        model(graph(helper.make_node("Identity", ["window"], ["score"], domain="ai.onnx"))).SerializeToString(),
        model(graph(helper.make_node("Scaler", ["window"], ["score"], domain="ai.onnx.ml"))).SerializeToString(),
    ],
)
def test_a_graph_of_standard_operators_and_its_own_weights_passes(data: bytes) -> None:
    check_graph(data, "model.onnx")


SPARSE_VALUES = helper.make_sparse_tensor(external(), numpy_helper.from_array(np.arange(4, dtype=np.int64), "i"), [8])
SPARSE_INDICES = helper.make_sparse_tensor(
    WEIGHTS, external(numpy_helper.from_array(np.arange(4, dtype=np.int64), "i")), [8]
)


def sparse_graph(tensor: onnx.SparseTensorProto) -> onnx.GraphProto:
    made = graph(NODE)
    made.sparse_initializer.append(tensor)
    return made


def training(of: onnx.GraphProto, place: str) -> onnx.ModelProto:
    info = onnx.TrainingInfoProto()
    getattr(info, place).CopyFrom(of)
    made = model(graph(NODE))
    made.training_info.append(info)
    return made


def function(*nodes: onnx.NodeProto, domain: str = "", opset: str = "", **more: object) -> onnx.ModelProto:
    made = helper.make_function(
        domain, "Mine", ["window"], ["score"], list(nodes), [helper.make_opsetid(opset, 18)], **more
    )
    return model(graph(NODE), functions=[made])


@pytest.mark.parametrize(
    "hidden",
    [
        model(graph(NODE, weights=(external(),))),
        model(graph(NODE, weights=(WEIGHTS, external()))),
        model(graph(helper.make_node("Constant", [], ["score"], value=external()))),
        model(graph(helper.make_node("Constant", [], ["score"], values=[WEIGHTS, external()]))),
        model(graph(helper.make_node("Constant", [], ["score"], sparse_value=SPARSE_VALUES))),
        model(graph(helper.make_node("Constant", [], ["score"], sparse_values=[SPARSE_INDICES]))),
        model(sparse_graph(SPARSE_VALUES)),
        model(sparse_graph(SPARSE_INDICES)),
        model(graph(branch(NODE, weights=(external(),)))),
        model(graph(branch(branch(NODE, weights=(external(),))))),
        model(graph(helper.make_node("Custom", [], ["score"], graphs=[graph(NODE, weights=(external(),))]))),
        training(graph(NODE, weights=(external(),)), "initialization"),
        training(graph(NODE, weights=(external(),)), "algorithm"),
        function(helper.make_node("Constant", [], ["score"], value=external())),
        function(NODE, attribute_protos=[helper.make_attribute("weights", external())]),
    ],
)
def test_weights_in_another_file_are_found_wherever_they_are(hidden: onnx.ModelProto) -> None:
    refused(hidden, "keeps weights in another file, which nobody signed")


def test_a_tensor_that_names_a_file_but_says_that_its_data_are_inside_is_refused_too() -> None:
    tensor = external()
    tensor.data_location = TensorProto.DEFAULT
    refused(model(graph(NODE, weights=(tensor,))), "keeps weights in another file")


def test_a_tensor_that_says_its_data_are_outside_and_names_no_file_is_refused_too() -> None:
    tensor = external()
    tensor.ClearField("external_data")
    refused(model(graph(NODE, weights=(tensor,))), "keeps weights in another file")


@pytest.mark.parametrize(
    "hidden",
    [
        model(graph(custom())),
        model(graph(NODE, custom())),
        model(graph(branch(custom()))),
        model(graph(branch(branch(custom())))),
        model(graph(helper.make_node("Custom", [], ["score"], graphs=[graph(custom())]))),
        training(graph(custom()), "algorithm"),
        function(custom()),
        function(NODE, domain="com.evil"),
        function(NODE, opset="com.evil"),
        helper.make_model(graph(NODE), opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("com.evil", 1)]),
    ],
)
def test_operators_of_another_domain_are_found_wherever_they_are(hidden: onnx.ModelProto) -> None:
    refused(hidden, "uses operators of 'com.evil', which are none of ONNX's own")


@pytest.mark.parametrize("domain", ["com.microsoft", "org.pytorch.aten", "ai.onnx.preview.training", "AI.ONNX", " "])
def test_operators_that_onnx_runtime_brings_along_are_not_standard_either(domain: str) -> None:
    refused(model(graph(custom(domain))), f"operators of '{domain}'")


def test_a_domain_that_is_no_text_is_shown_all_the_same() -> None:
    node = write(tag(7, BYTES), b"\xff" * 100)
    refused(write(tag(7, BYTES), write(tag(1, BYTES), node)), f"operators of '{'�' * 64}'")


def test_a_second_graph_that_protobuf_would_merge_into_the_first_is_walked_too() -> None:
    twice = model(graph(NODE)).SerializeToString() + model(graph(custom())).SerializeToString()
    assert any(node.domain for node in onnx.load_from_string(twice).graph.node)
    refused(twice, "operators of 'com.evil'")


def test_a_graph_in_onnx_runtimes_own_format_is_refused_even_within_sound_onnx() -> None:
    sound = model(graph(NODE))
    sound.producer_name = "ORTM"
    data = write(tag(2, BYTES), b"") + sound.SerializeToString()
    at = data.index(b"ORTM")
    check_graph(data, "model.onnx")
    assert at != 4
    refused(write(tag(2, BYTES), b"xxORTM") + data, "ONNX Runtime's own format")
    refused(b"\x18\x00\x00\x00ORTM" + bytes(100), "ONNX Runtime's own format")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds no graph"),
        (write(tag(1, VARINT), 9), "holds no graph"),
        (write(tag(7, VARINT), 9), "holds no graph"),
        (b"hello", r"^model\.onnx is no ONNX: its model has"),
        (energy_model()[:-1], "is no ONNX: its model has"),
        (write(tag(7, BYTES), b"\x0b"), "is no ONNX: its graph has a?.*protobuf wire type 3"),
        (write((1 << 29) << 3, 1), "its model has a field number above"),
    ],
)
def test_what_is_no_onnx_is_refused(data: bytes, message: str) -> None:
    refused(data, message)


def test_the_largest_field_number_that_protobuf_knows_is_passed_over() -> None:
    check_graph(write(tag((1 << 29) - 1, VARINT), 1) + energy_model(), "model.onnx")


def nested(levels: int) -> bytes:
    """A model whose graph lies `levels` subgraphs deep; each is a graph, a node and an attribute."""
    inside = b""
    for _ in range(levels):
        inside = write(tag(1, BYTES), write(tag(5, BYTES), write(tag(6, BYTES), inside)))
    return write(tag(7, BYTES), inside)


def test_loops_within_loops_end_somewhere() -> None:
    check_graph(nested(15), "model.onnx")
    refused(nested(16), "nests its graphs deeper than 48 messages")
    refused(nested(5_000), "nests its graphs deeper than 48 messages")


@pytest.mark.parametrize("name", ["model.onnx", "model.fp16.onnx", "model.int8.onnx"])
def test_a_supplier_who_signs_such_a_graph_is_refused_in_every_variant(name: str) -> None:
    form = {"model.onnx": "fp32", "model.fp16.onnx": "fp16", "model.int8.onnx": "int8"}[name]
    for bad in (model(graph(custom())), model(graph(NODE, weights=(external(),)))):
        signed = pack(full_entries() | {name: bad.SerializeToString()}, [KEY])
        with pytest.raises(BundleError, match=f"the {form} model (uses|keeps)"):
            open_bundle(signed, [PUBLIC])

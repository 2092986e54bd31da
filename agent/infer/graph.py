"""What a model's graph may hold: standard operators and its own weights; no file beside it, no operator of anybody else. Pure."""

from __future__ import annotations

from typing import NamedTuple

from agent.decode.protobuf_wire import BYTES, read, tag
from agent.errors import BundleError, DecodeError

STANDARD_DOMAINS = (b"", b"ai.onnx", b"ai.onnx.ml")
# Deeper than any exporter nests loops and branches; protobuf's own readers stop at 100 messages.
_DEEPEST = 48
# ONNX Runtime takes a FlatBuffer of its own format for a model, whatever its name, by these bytes.
_ORT_FORMAT, _ORT_FORMAT_AT = b"ORTM", slice(4, 8)
_MOST_FIELD_NUMBER = (1 << 29) - 1

# onnx.proto3 of ONNX 1.19: by message, the fields that lead to nodes and tensors.
_NESTED = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "opset": {},
    "tensor": {},
}
_DOMAIN = {"node": 7, "opset": 1, "function": 10}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


class _Message(NamedTuple):
    """A message of the graph that is still to be looked at."""

    kind: str
    data: bytes
    depth: int


def check_graph(model: bytes, name: str) -> None:
    """Raise BundleError, which calls the model `name`, where it may not run.

    Refused are external data, which is no part of what was signed; operators, and functions, of any domain that is not ONNX's own; and what is no
    ONNX at all. Subgraphs, functions and sparse tensors are walked too, to a bounded depth.
    """
    if model[_ORT_FORMAT_AT] == _ORT_FORMAT:
        raise BundleError(f"{name} is in ONNX Runtime's own format, which hides its operators; export it as ONNX")
    waiting = [_Message("model", model, 0)]
    graphs = 0
    while waiting:
        message = waiting.pop()
        if message.depth > _DEEPEST:
            raise BundleError(f"{name} nests its graphs deeper than {_DEEPEST} messages; export it again")
        graphs += message.kind == "graph"
        for key, value in _fields(message, name):
            number = key >> 3
            _check_field(message.kind, number, value, name)
            inner = _NESTED[message.kind].get(number)
            if inner is not None and isinstance(value, bytes) and key == tag(number, BYTES):
                waiting.append(_Message(inner, value, message.depth + 1))
    if not graphs:
        raise BundleError(f"{name} holds no graph; export it again")


def _fields(message: _Message, name: str) -> list[tuple[int, int | bytes]]:
    try:
        fields = read(message.data)
    except DecodeError as error:
        raise BundleError(f"{name} is no ONNX: its {message.kind} has {error}; export it again") from error
    # Readers differ in what they make of a longer number, so that this walk and theirs might see two graphs.
    if any(key >> 3 > _MOST_FIELD_NUMBER for key, _ in fields):
        raise BundleError(f"{name} is no ONNX: its {message.kind} has a field number above 2^29; export it again")
    return fields


def _check_field(kind: str, number: int, value: int | bytes, name: str) -> None:
    if number == _DOMAIN.get(kind) and isinstance(value, bytes) and value not in STANDARD_DOMAINS:
        domain = value[:64].decode(errors="replace")
        raise BundleError(
            f"{name} uses operators of '{domain}', which are none of ONNX's own; export it with standard operators only"
        )
    if kind == "tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)):
        raise BundleError(
            f"{name} keeps weights in another file, which nobody signed; export it with its data inside (external_data=False)"
        )

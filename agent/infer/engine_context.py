"""A TensorRT-RTX engine as the ONNX model that its plug-in for ONNX Runtime takes it in: one EPContext node around it. Pure.

https://onnxruntime.ai/docs/execution-providers/EP-Context-Design.html; the wire format is that of onnx.proto3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.decode.protobuf_wire import BYTES, VARINT, tag, write

_CONTRIB = "com.microsoft"
_IR_VERSION, _OPSET, _CONTRIB_OPSET = 8, 17, 1
_FLOAT = 1
_INT_ATTRIBUTE, _STRING_ATTRIBUTE = 2, 3


def engine_model(
    engine: bytes,
    provider: str,
    capability: str,
    inputs: Mapping[str, Sequence[int]],
    outputs: Mapping[str, Sequence[int]],
) -> bytes:
    """The model's bytes; shapes leave out the batch dimension, which is free. `provider` is to run it on a `capability` as in "sm89"."""
    attributes: dict[str, int | bytes] = {
        "embed_mode": 1,
        "main_context": 0,
        "ep_cache_context": engine,
        "ep_context_op_domain": _CONTRIB.encode(),
        "ep_sdk_version": b"1.0",
        "hardware_architecture": capability.removeprefix("sm").encode(),
        "onnx_model_filename": b"",
        "partition_name": b"engine",
        "source": provider.encode(),
    }
    node = _fields(
        *((1, name) for name in inputs),
        *((2, name) for name in outputs),
        (3, "engine"),
        (4, "EPContext"),
        *((5, _attribute(name, value)) for name, value in attributes.items()),
        (7, _CONTRIB),
    )
    graph = _fields(
        (1, node),
        (2, "engine"),
        *((11, _value(name, shape)) for name, shape in inputs.items()),
        *((12, _value(name, shape)) for name, shape in outputs.items()),
    )
    opsets = [(8, _fields((1, domain), (2, version))) for domain, version in (("", _OPSET), (_CONTRIB, _CONTRIB_OPSET))]
    return _fields((1, _IR_VERSION), (2, "stethos"), (7, graph), *opsets)


def _attribute(name: str, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _fields((1, name), (3, value), (20, _INT_ATTRIBUTE))
    return _fields((1, name), (4, value), (20, _STRING_ATTRIBUTE))


def _value(name: str, shape: Sequence[int]) -> bytes:
    dimensions = [(1, _fields((2, "batch"))), *((1, _fields((1, size))) for size in shape)]
    tensor = _fields((1, _FLOAT), (2, _fields(*dimensions)))
    return _fields((1, name), (2, _fields((1, tensor))))


def _fields(*fields: tuple[int, int | str | bytes]) -> bytes:
    """A message of (field number, value)."""
    return b"".join(_field(number, value) for number, value in fields)


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return write(tag(number, VARINT), value)
    return write(tag(number, BYTES), value.encode() if isinstance(value, str) else value)

"""The Sparkplug B payload (Sparkplug 3.0, section 6.4): metrics with their times, kinds and quality, read from protobuf and written to it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.decode import protobuf_wire
from agent.decode.protobuf_wire import BYTES, FIXED32, FIXED64, VARINT, tag
from agent.errors import DecodeError

_TIMESTAMP, _METRIC, _SEQ = tag(1, VARINT), tag(2, BYTES), tag(3, VARINT)

_NAME, _ALIAS, _METRIC_TIMESTAMP, _DATATYPE = tag(1, BYTES), tag(2, VARINT), tag(3, VARINT), tag(4, VARINT)
_IS_HISTORICAL, _IS_NULL, _PROPERTIES = tag(5, VARINT), tag(7, VARINT), tag(9, BYTES)
_INT, _LONG, _FLOAT, _DOUBLE = tag(10, VARINT), tag(11, VARINT), tag(12, FIXED32), tag(13, FIXED64)
_BOOLEAN, _STRING = tag(14, VARINT), tag(15, BYTES)

_KEY, _PROPERTY = tag(1, BYTES), tag(2, BYTES)
_PROPERTY_TYPE, _PROPERTY_INT, _PROPERTY_LONG, _PROPERTY_STRING = (
    tag(1, VARINT), tag(3, VARINT), tag(4, VARINT), tag(8, BYTES),
)  # fmt: skip

DOUBLE, BOOLEAN, STRING, UINT64, INT32 = 10, 11, 12, 8, 3
# Two's complement in an unsigned field, as wide as the type.
_SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}


@dataclass(slots=True)
class Metric:
    """One metric; `value` is as on the wire (an integer still unsigned), None where there is none, or one of no number."""

    name: str | None = None
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int | None = None
    is_historical: bool = False
    is_null: bool = False
    value: float | bool | str | None = None
    properties: dict[str, int | str] = field(default_factory=dict)


@dataclass(slots=True)
class Payload:
    """One message; `seq` is absent in a death certificate of a node."""

    timestamp_ms: int | None = None
    seq: int | None = None
    metrics: list[Metric] = field(default_factory=list)


def read(data: bytes) -> Payload:
    """A payload; fields that are not wanted here are passed over. Raises DecodeError."""
    payload = Payload()
    for key, value in protobuf_wire.read(data):
        if key == _METRIC and isinstance(value, bytes):
            payload.metrics.append(_metric(value))
        elif key == _TIMESTAMP and isinstance(value, int):
            payload.timestamp_ms = value
        elif key == _SEQ and isinstance(value, int):
            payload.seq = value
    return payload


def _metric(data: bytes) -> Metric:
    metric = Metric()
    for key, value in protobuf_wire.read(data):
        if isinstance(value, int):
            _take_number(metric, key, value)
        elif key == _FLOAT:
            metric.value = struct.unpack("<f", value)[0]
        elif key == _DOUBLE:
            metric.value = struct.unpack("<d", value)[0]
        elif key == _NAME:
            metric.name = _text(value)
        elif key == _STRING:
            metric.value = _text(value)
        elif key == _PROPERTIES:
            metric.properties = _properties(value)
    return metric


def _take_number(metric: Metric, key: int, value: int) -> None:
    if key in (_INT, _LONG):
        metric.value = value
    elif key == _ALIAS:
        metric.alias = value
    elif key == _METRIC_TIMESTAMP:
        metric.timestamp_ms = value
    elif key == _DATATYPE:
        metric.datatype = value
    elif key == _BOOLEAN:
        metric.value = bool(value)
    elif key == _IS_NULL:
        metric.is_null = bool(value)
    elif key == _IS_HISTORICAL:
        metric.is_historical = bool(value)


def _properties(data: bytes) -> dict[str, int | str]:
    """Keys and values stand in two lists of one order; values that are neither integer nor text are left out."""
    keys: list[str] = []
    values: list[int | str | None] = []
    for key, value in protobuf_wire.read(data):
        if isinstance(value, int):
            continue
        if key == _KEY:
            keys.append(_text(value))
        elif key == _PROPERTY:
            values.append(_property(value))
    return {name: value for name, value in zip(keys, values, strict=False) if value is not None}


def _property(data: bytes) -> int | str | None:
    found: int | str | None = None
    for key, value in protobuf_wire.read(data):
        if key in (_PROPERTY_INT, _PROPERTY_LONG) and isinstance(value, int):
            found = value
        elif key == _PROPERTY_STRING and isinstance(value, bytes):
            found = _text(value)
    return found


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DecodeError(f"a protobuf string is no UTF-8: {error}") from error


def signed(value: float | bool | str | None, datatype: int | None) -> float | bool | str | None:  # noqa: FBT001 - a value
    """A value as its data type means it: integers of signed types travel as unsigned ones."""
    bits = _SIGNED_BITS.get(datatype or 0)
    if bits is None or not isinstance(value, int):
        return value
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def write(payload: Payload) -> bytes:
    """The inverse of `read`."""
    parts = [] if payload.timestamp_ms is None else [protobuf_wire.write(_TIMESTAMP, payload.timestamp_ms)]
    parts += [protobuf_wire.write(_METRIC, _written(metric)) for metric in payload.metrics]
    if payload.seq is not None:
        parts.append(protobuf_wire.write(_SEQ, payload.seq))
    return b"".join(parts)


def _written(metric: Metric) -> bytes:
    numbers = (
        (_ALIAS, metric.alias),
        (_METRIC_TIMESTAMP, metric.timestamp_ms),
        (_DATATYPE, metric.datatype),
        (_IS_HISTORICAL, metric.is_historical or None),
        (_IS_NULL, metric.is_null or None),
    )
    parts = [] if metric.name is None else [protobuf_wire.write(_NAME, metric.name.encode())]
    parts += [protobuf_wire.write(key, value) for key, value in numbers if value is not None]
    if metric.properties:
        parts.append(protobuf_wire.write(_PROPERTIES, _written_properties(metric.properties)))
    if metric.value is not None:
        parts.append(_written_value(metric.value))
    return b"".join(parts)


def _written_value(value: float | bool | str) -> bytes:  # noqa: FBT001 - a value
    if isinstance(value, bool):
        return protobuf_wire.write(_BOOLEAN, value)
    if isinstance(value, str):
        return protobuf_wire.write(_STRING, value.encode())
    if isinstance(value, int):
        return protobuf_wire.write(_LONG, value)
    return protobuf_wire.write(_DOUBLE, struct.pack("<d", value))


def _written_properties(properties: dict[str, int | str]) -> bytes:
    keys = [protobuf_wire.write(_KEY, name.encode()) for name in properties]
    return b"".join(
        [*keys, *(protobuf_wire.write(_PROPERTY, _written_property(value)) for value in properties.values())]
    )


def _written_property(value: int | str) -> bytes:
    parts: Sequence[tuple[int, int | bytes]] = (
        ((_PROPERTY_TYPE, INT32), (_PROPERTY_INT, value))
        if isinstance(value, int)
        else ((_PROPERTY_TYPE, STRING), (_PROPERTY_STRING, value.encode()))
    )
    return b"".join(protobuf_wire.write(key, part) for key, part in parts)

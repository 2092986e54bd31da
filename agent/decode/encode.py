"""The encoder: engineering values to the bytes that a device of this profile would send; simulators and tests speak by it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from cobs import cobs

from agent.decode.binary_records import record_dtype
from agent.decode.checksum import checksum
from agent.decode.json_records import Step, parse_path
from agent.decode.records import UNIT_NS
from agent.decode.schema import Channel, CsvRecord, JsonRecord, Profile, TimeUnit


class Encoder:
    """The inverse of a Decoder; keeps the sequence counter, which starts at zero and wraps as the profile says."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._counter = 0
        self._begun = False

    def frame(self, values: Sequence[float], t_ns: int) -> bytes:
        """One sample, delimited as on the wire.

        `values` are engineering values in the order of the profile's channels, NaN for no reading; `t_ns` is nanoseconds since the
        Unix epoch. Raises ValueError where NaN cannot be told in the profile's format. The first frame begins with a
        delimiter too, since whoever joins a text stream midway drops what precedes the first one.
        """
        profile = self._profile
        fields: dict[str, Any] = {
            channel.source_field: _raw(channel, value) for channel, value in zip(profile.channel, values, strict=True)
        }
        if profile.sequence:
            fields[profile.sequence.field] = self._counter
            self._counter = (self._counter + 1) % (1 << profile.sequence_bits)
        if profile.time.field and profile.time.unit:
            fields[profile.time.field] = _stamp(t_ns, profile.time.unit)
        return self._framed(self._record(fields))

    def _record(self, fields: dict[str, Any]) -> bytes:
        profile = self._profile
        if profile.csv:
            return _csv(fields, profile.csv)
        if profile.json:
            return _json(fields, profile.json)
        return _binary(fields, profile)

    def _framed(self, record: bytes) -> bytes:
        profile = self._profile
        if profile.checksum:
            record = checksum(profile.checksum).append(record)
        if profile.framing.kind == "message":
            return record
        body = cobs.encode(record) if profile.framing.kind == "cobs" else record
        delimiter = b"\0" if profile.framing.kind == "cobs" else profile.framing.delimiter.encode()
        begin = b"" if self._begun else delimiter
        self._begun = True
        return begin + body + delimiter


def _raw(channel: Channel, value: float) -> float | None:
    """The raw number of an engineering value; None where there is no reading and no code for that."""
    if not math.isnan(value):
        return (float(value) - channel.offset) / channel.scale
    return channel.invalid[0] if channel.invalid else None


def _stamp(t_ns: int, unit: TimeUnit) -> int | float | str:
    if unit == "rfc3339":
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=t_ns // 1_000)
        return moment.isoformat().replace("+00:00", "Z")
    factor = UNIT_NS[unit]
    return t_ns / factor if t_ns % factor else t_ns // factor


def _binary(fields: dict[str, Any], profile: Profile) -> bytes:
    assert profile.binary is not None, "a checked profile has exactly one record format"
    dtype = record_dtype(profile.binary)
    record = np.zeros(1, dtype=dtype)
    for name, raw in fields.items():
        kind = dtype[name]
        if kind.kind == "f":
            record[name] = math.nan if raw is None else raw
        elif raw is None:
            raise ValueError(f"the integer field '{name}' has no invalid code that could say 'no reading'")
        else:
            limits = np.iinfo(kind)
            record[name] = min(max(round(raw), int(limits.min)), int(limits.max))
    return record.tobytes()


def _csv(fields: dict[str, Any], layout: CsvRecord) -> bytes:
    cells = ["" if fields.get(column) is None else str(fields[column]) for column in layout.columns]
    return layout.separator.join(cells).encode()


def _json(fields: dict[str, Any], layout: JsonRecord) -> bytes:
    document: dict[str, Any] = {}
    for name, value in fields.items():
        _put(document, parse_path(layout.fields[name]), value)
    return msgspec.json.encode(document)


def _put(node: Any, path: list[Step], value: Any) -> None:
    """Set `value` at `path`, making the objects and arrays on the way."""
    for step, following in zip(path, [*path[1:], None], strict=True):
        if isinstance(step, int):
            node.extend([None] * (step + 1 - len(node)))
        if following is None:
            node[step] = value
            return
        if isinstance(step, int) and node[step] is None:
            node[step] = [] if isinstance(following, int) else {}
        node = node[step] if isinstance(step, int) else node.setdefault(step, [] if isinstance(following, int) else {})

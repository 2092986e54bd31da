"""The encoder: engineering values to the bytes that a device of this profile would send; simulators and tests speak by it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from agent.decode import encode_messages
from agent.decode.encode_sparkplug import Published, SparkplugEncoder
from agent.decode.json_records import EACH, Step, parse_path
from agent.decode.layout import Layout
from agent.decode.records import UNIT_NS
from agent.decode.schema import Channel, CsvRecord, JsonRecord, Profile, TimeUnit
from agent.decode.states import word
from agent.decode.wrap import Wrapping


class Encoder:
    """The inverse of a Decoder; keeps the sequence counter, which starts at zero and wraps as the profile says."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._layout = Layout(profile.binary) if profile.binary else None
        self._wrapping = Wrapping(profile)
        self._sparkplug = SparkplugEncoder(profile, profile.sparkplug) if profile.sparkplug else None
        self._rows: list[dict[str, Any]] = []  # of a frame that is not full
        self._counter = 0
        self._begun = False

    def frame(self, values: Sequence[float], t_ns: int) -> bytes:
        """One sample, framed as on the wire; where a frame holds several, nothing until its last one, then the whole frame.

        `values` are engineering values in the order of the profile's channels, NaN for no reading; `t_ns` is nanoseconds since the
        Unix epoch. Raises ValueError where NaN cannot be told in the profile's format, and for Sparkplug, whose messages need
        topics: see `messages`. The first frame begins with a delimiter too, since whoever joins a text stream midway drops
        what precedes the first one.
        """
        if self._sparkplug is not None:
            raise ValueError("Sparkplug tells births from data by their topics: ask for messages()")
        self._rows.append(self._fields(values, t_ns))
        if len(self._rows) < self._profile.frame_samples:
            return b""
        record = self._record(self._rows, t_ns)
        self._rows = []
        begin = b"" if self._begun else self._wrapping.delimiter
        self._begun = True
        return begin + self._wrapping.frame(record)

    def messages(self, values: Sequence[float], t_ns: int, topic: str) -> list[Published]:
        """Topics and payloads that publish one sample, none where a frame is not full; for Sparkplug `topic` is GROUP/NODE."""
        if self._sparkplug is not None:
            return self._sparkplug.messages(self._fields(values, t_ns), t_ns, topic)
        payload = self.frame(values, t_ns)
        return [(topic, payload)] if payload else []

    def will(self, topic: str) -> Published | None:
        """What the broker must publish when this device is gone; only Sparkplug has such a thing."""
        return None if self._sparkplug is None else self._sparkplug.will(topic)

    def _fields(self, values: Sequence[float], t_ns: int) -> dict[str, Any]:
        """The raw fields of one sample, with the counter and the time that the first sample of a frame carries."""
        profile = self._profile
        fields: dict[str, Any] = {name: wanted[0] for name, wanted in profile.match.items()}
        fields |= {
            channel.source_field: _raw(channel, value) for channel, value in zip(profile.channel, values, strict=True)
        }
        if profile.sequence:
            fields[profile.sequence.field] = self._counter
            if profile.sequence.counts == "samples" or len(self._rows) == profile.frame_samples - 1:
                self._counter = (self._counter + 1) % (1 << profile.sequence_bits)
        if profile.time.field and profile.time.unit:
            wrap_ns = profile.clock_wrap_ns if profile.time.epoch == "boot" else None
            fields[profile.time.field] = _stamp(t_ns if wrap_ns is None else t_ns % wrap_ns, profile.time.unit)
        return fields

    def _record(self, rows: list[dict[str, Any]], t_ns: int) -> bytes:
        """A frame's record, whose last sample was taken at t_ns."""
        profile = self._profile
        if self._layout is not None:
            return self._layout.pack([_readings(fields, self._layout) for fields in rows])
        if profile.csv:
            return _csv(rows[0], profile.csv)
        if profile.influx:
            return encode_messages.influx(rows[0], t_ns, profile, profile.influx)
        if profile.senml:
            return encode_messages.senml(rows[0], t_ns, profile, profile.senml)
        assert profile.json is not None, "a checked profile has exactly one record format"
        return _json(rows[0], profile.json)


def _raw(channel: Channel, value: float) -> float | bool | str | None:
    """The raw number of an engineering value, or the word for it; None where there is no reading and no code for that."""
    if not math.isnan(value):
        return word(channel, (float(value) - channel.offset) / channel.scale)
    return channel.invalid[0] if channel.invalid else None


def _stamp(t_ns: int, unit: TimeUnit) -> int | float | str:
    if unit == "rfc3339":
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=t_ns // 1_000)
        return moment.isoformat().replace("+00:00", "Z")
    factor = UNIT_NS[unit]
    return t_ns / factor if t_ns % factor else t_ns // factor


def _readings(fields: dict[str, Any], layout: Layout) -> dict[str, float]:
    """The fields with NaN where a float has no reading; raises ValueError where an integer has none."""
    for name, raw in fields.items():
        if raw is None and not layout.is_float(name):
            raise ValueError(f"the integer field '{name}' has no invalid code that could say 'no reading'")
    return {name: math.nan if raw is None else raw for name, raw in fields.items()}


def _csv(fields: dict[str, Any], layout: CsvRecord) -> bytes:
    cells = ["" if fields.get(column) is None else str(fields[column]) for column in layout.columns]
    return layout.separator.join(cells).encode()


def _json(fields: dict[str, Any], layout: JsonRecord) -> bytes:
    document: dict[str, Any] = {}
    for name, value in fields.items():
        path: list[Step] = [0 if step == EACH else step for step in parse_path(layout.fields[name])]
        _put(document, path, value)
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

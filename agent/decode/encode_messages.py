"""One sample as line protocol or as a SenML pack; a channel without a reading is left out, as these formats do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cbor2
import msgspec

from agent.decode.influx_records import escape, quoted
from agent.decode.records import UNIT_NS
from agent.decode.schema import InfluxRecord, Profile, SenmlRecord
from agent.decode.senml_records import LABELS
from agent.decode.senml_units import senml as senml_unit

_CBOR_LABELS = {label: number for number, label in LABELS.items()}


def influx(fields: Mapping[str, Any], t_ns: int, profile: Profile, layout: InfluxRecord) -> bytes:
    """A line for each series; empty where there is no reading at all."""
    stamp = f" {t_ns // UNIT_NS[layout.precision]}" if profile.time.kind == "device" else ""
    series: dict[str, list[str]] = {}
    for name, raw in fields.items():
        wanted = layout.fields[name]
        tags = "".join(f",{escape(key)}={escape(value)}" for key, value in wanted.tags.items())
        if raw is not None:
            series.setdefault(escape(wanted.measurement) + tags, []).append(f"{escape(wanted.field)}={_cell(raw)}")
    return "\n".join(f"{head} {','.join(cells)}{stamp}" for head, cells in series.items()).encode()


def _cell(raw: float | bool | str) -> str:  # noqa: FBT001 - a value
    if isinstance(raw, bool):
        return "true" if raw else "false"
    return quoted(raw) if isinstance(raw, str) else repr(float(raw))


def senml(fields: Mapping[str, Any], t_ns: int, profile: Profile, layout: SenmlRecord) -> bytes:
    """A record for each reading, with its unit, in a pack whose base time is that of the sample."""
    units = {channel.source_field: channel.unit for channel in profile.channel}
    pack: list[dict[str, Any]] = []
    for name, raw in fields.items():
        wanted = layout.fields[name]
        if raw is None:
            continue
        label = "s" if wanted.part == "sum" else {bool: "vb", str: "vs"}.get(type(raw), "v")
        unit = units[name].removesuffix(".s") if wanted.part == "sum" else units[name]
        pack.append({"n": wanted.name, "u": wanted.unit or senml_unit(unit), label: raw})
    if pack and profile.time.kind == "device":
        pack[0] = {"bt": t_ns / UNIT_NS["s"], **pack[0]}
    if layout.encoding == "json":
        return msgspec.json.encode(pack)
    return cbor2.dumps([{_CBOR_LABELS[label]: value for label, value in entry.items()} for entry in pack])

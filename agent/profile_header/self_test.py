"""The self-test of a header: records in C, and the bytes that the encoder must make of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from agent.decode.golden import Golden, records
from agent.decode.layout import Layout, Number, Place
from agent.decode.schema import Profile
from agent.decode.wrap import Wrapping
from agent.profile_header.names import Names, member

_OCTETS_A_LINE = 16


def self_test_code(names: Names, profile: Profile, layout: Layout, golden: Golden | None) -> str:
    """`PREFIX_self_test`: zero, or the number of the first record whose frame is wrong, counted from one."""
    frames = vectors(profile, layout, golden)
    p = names.prefix
    source = "the golden frames" if golden is not None else "frames as the agent's own encoder makes them"
    lines = [
        f"/* Against {source}: 0, or the number of the first record whose frame is wrong, counted from 1. */",
        f"static inline int {p}_self_test(void)",
        "{",
        f"    static const {p}_t records[] = {{",
        *(f"        {_initializer(layout, layout.unpack(record))}," for record, _ in frames),
        "    };",
        "    static const uint8_t golden[] = {",
        *(f"        {line}" for line in _octets(b"".join(frame for _, frame in frames))),
        "    };",
        "    const uint8_t *expected = golden;",
        "    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {",
        f"        uint8_t frame[{names.macro}_FRAME_BYTES];",
        f"        const size_t size = {p}_encode(&records[i], frame);",
        "        const size_t left = (size_t)(golden + sizeof golden - expected);",
        "        if (size > left || memcmp(frame, expected, size) != 0) {",
        "            return (int)i + 1;",
        "        }",
        "        expected += size;",
        "    }",
        "    return 0;",
        "}",
    ]
    return "\n".join(lines) + "\n"


def vectors(profile: Profile, layout: Layout, golden: Golden | None) -> list[tuple[bytes, bytes]]:
    """Records and their frames, as they stand in the golden bytes; a record with NaN is left out, C cannot say which NaN."""
    wrapping = Wrapping(profile)
    if golden is None:
        record = bytes(1 + index % 127 for index in range(layout.size))
        plain = layout.pack(layout.unpack(record))
        return [(plain, wrapping.frame(plain))]
    stream = b"".join(data for data, _ in golden.pieces())
    framed = [(record, wrapping.frame(record)) for record in records(profile, golden) if len(record) == layout.size]
    return [(record, frame) for record, frame in framed if frame in stream and _finite(layout.unpack(record))]


def _finite(rows: list[dict[str, Number]]) -> bool:
    return all(math.isfinite(value) for row in rows for value in row.values())


def _initializer(layout: Layout, rows: list[dict[str, Number]]) -> str:
    first = {name: value for name, value in rows[0].items() if not layout.places[name].sampled}
    members = _members(layout, first)
    if any(place.sampled for place in layout.places.values()):
        samples = [{name: value for name, value in row.items() if layout.places[name].sampled} for row in rows]
        inner = ", ".join("{" + ", ".join(_members(layout, sample)) + "}" for sample in samples)
        members = [*members, f".samples = {{{inner}}}"]
    return "{" + ", ".join(members) + "}"


def _members(layout: Layout, row: Mapping[str, Number]) -> list[str]:
    return [f".{member(name)} = {_literal(layout.places[name], value)}" for name, value in row.items()]


def _literal(place: Place, value: Number) -> str:
    if place.kind == "f":
        return f"{float(value).hex()}{'f' if place.size == 4 else ''}"
    if place.size < 8:
        return f"{value}{'u' if place.kind == 'u' else ''}" if value != -(1 << 31) else "INT32_MIN"
    return "INT64_MIN" if value == -(1 << 63) else f"{'U' if place.kind == 'u' else ''}INT64_C({value})"


def _octets(data: bytes) -> Iterator[str]:
    for at in range(0, len(data), _OCTETS_A_LINE):
        yield "".join(f"{octet:#04x}, " for octet in data[at : at + _OCTETS_A_LINE]).rstrip()

"""The encoder of a profile in C: a record, its checksum, and the framing around both."""

from __future__ import annotations

from collections.abc import Iterator

from agent.decode.checksum import CATALOGUE
from agent.decode.frame_shape import FrameShape, frame_shape
from agent.decode.layout import Layout
from agent.decode.schema import Profile
from agent.profile_header.names import Names

_COBS = """\
/* COBS: every zero becomes the distance to the next one, and a zero ends the frame. */
static inline size_t {p}_stuff(const uint8_t *data, size_t size, uint8_t *frame)
{{
    size_t code_at = 0, at = 1;
    uint8_t code = 1;
    for (size_t i = 0; i < size; i++) {{
        if (data[i] != 0) {{
            frame[at++] = data[i];
            code++;
        }}
        if (data[i] == 0 || (code == 0xff && i + 1 < size)) {{
            frame[code_at] = code;
            code_at = at++;
            code = 1;
        }}
    }}
    frame[code_at] = code;
    frame[at++] = 0;
    return at;
}}
"""

_SLIP = """\
/* SLIP, RFC 1055: END (0xc0) ends the frame, and is escaped within it. */
static inline size_t {p}_stuff(const uint8_t *data, size_t size, uint8_t *frame)
{{
    size_t at = 0;
    for (size_t i = 0; i < size; i++) {{
        if (data[i] == 0xc0 || data[i] == 0xdb) {{
            frame[at++] = 0xdb;
            frame[at++] = data[i] == 0xc0 ? 0xdc : 0xdd;
        }} else {{
            frame[at++] = data[i];
        }}
    }}
    frame[at++] = 0xc0;
    return at;
}}
"""

_STUFFINGS = {"cobs": _COBS, "slip": _SLIP}


def framing_code(names: Names, profile: Profile, layout: Layout) -> str:
    """`PREFIX_encode` and the most bytes that it makes."""
    kind = profile.framing.kind
    shape = frame_shape(profile) if kind in ("sync", "length") else None
    record_at = shape.record_at if shape else 0
    sealed = record_at + layout.size + _checksums_bytes(profile, layout)
    longest = {"cobs": sealed + sealed // 254 + 2, "slip": 2 * sealed + 1}.get(kind, sealed)
    lines = [f"#define {names.macro}_FRAME_BYTES {longest}u /* at most */", ""]
    if kind in _STUFFINGS:
        lines += [*_STUFFINGS[kind].format(p=names.prefix).splitlines(), ""]
    lines += [
        f"static inline size_t {names.prefix}_encode(const {names.prefix}_t *record, uint8_t *frame)",
        "{",
        *(f"    {line}" for line in _encode(names, profile, layout, shape, sealed)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _encode(names: Names, profile: Profile, layout: Layout, shape: FrameShape | None, sealed: int) -> Iterator[str]:
    stuffed = profile.framing.kind in _STUFFINGS
    bytes_ = "sealed" if stuffed else "frame"
    if stuffed:
        yield f"uint8_t sealed[{sealed}];"
    record_at = 0
    if shape is not None:
        record_at = shape.record_at
        yield from _header(profile, shape, sealed)
    rule = profile.checksum
    if rule is not None and rule.every_bytes:
        yield from _grouped(names, profile, layout, bytes_)
    else:
        yield f"{names.prefix}_write(record, {bytes_}{_plus(record_at)});"
        if shape is not None and shape.length_at >= record_at and shape.length_width:
            yield from _octets("frame", shape.length_at, shape.length_field(sealed))
        if rule is not None:
            covered = 0 if rule.covers == "frame" else record_at
            end = record_at + layout.size
            yield f"const {_unsigned(profile)} checksum = {names.prefix}_checksum({bytes_}{_plus(covered)}, {end - covered}u);"
            yield from _put_checksum(profile, bytes_, end)
    yield f"return {names.prefix}_stuff(sealed, sizeof sealed, frame);" if stuffed else f"return {sealed}u;"


def _header(profile: Profile, shape: FrameShape, sealed: int) -> Iterator[str]:
    yield from _octets("frame", 0, bytes.fromhex(profile.framing.sync))
    if shape.length_at < shape.record_at:
        yield from _octets("frame", shape.length_at, shape.length_field(sealed))


def _grouped(names: Names, profile: Profile, layout: Layout, bytes_: str) -> Iterator[str]:
    """A checksum behind every group of bytes; with a header, a group behind it is all that is covered."""
    rule = profile.checksum
    assert rule is not None, "the caller has seen to that"
    assert rule.every_bytes, "the caller has seen to that"
    width = CATALOGUE[rule.name][1]
    start = frame_shape(profile).record_at if profile.framing.kind in ("sync", "length") else 0
    yield f"uint8_t plain[{layout.size}];"
    yield f"uint8_t *at = {bytes_}{_plus(start)};"
    yield f"{names.prefix}_write(record, plain);"
    yield f"for (size_t i = 0; i < {layout.size}; i += {rule.every_bytes}) {{"
    yield f"    const {_unsigned(profile)} checksum = {names.prefix}_checksum(plain + i, {rule.every_bytes}u);"
    yield f"    memcpy(at, plain + i, {rule.every_bytes}u);"
    yield from (f"    {line}" for line in _put_checksum(profile, "at", rule.every_bytes))
    yield f"    at += {rule.every_bytes + width};"
    yield "}"


def _put_checksum(profile: Profile, where: str, at: int) -> Iterator[str]:
    assert profile.checksum is not None, "the caller has seen to that"
    width = CATALOGUE[profile.checksum.name][1]
    for index in range(width):
        shift = 8 * (index if profile.checksum.endian == "little" else width - 1 - index)
        yield f"{where}[{at + index}] = (uint8_t)(checksum >> {shift});"


def _octets(where: str, at: int, octets: bytes) -> Iterator[str]:
    for index, octet in enumerate(octets, start=at):
        yield f"{where}[{index}] = {octet:#04x};"


def _unsigned(profile: Profile) -> str:
    assert profile.checksum is not None, "the caller has seen to that"
    return f"uint{8 * CATALOGUE[profile.checksum.name][1]}_t"


def _checksums_bytes(profile: Profile, layout: Layout) -> int:
    rule = profile.checksum
    if rule is None:
        return 0
    width = CATALOGUE[rule.name][1]
    return layout.size // rule.every_bytes * width if rule.every_bytes else width


def _plus(offset: int) -> str:
    return f" + {offset}" if offset else ""

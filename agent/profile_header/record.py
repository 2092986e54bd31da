"""The packed struct of a record in C, and the function that writes it in the wire's byte order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.decode.layout import Layout, Place
from agent.decode.schema import BinaryField, BitField, Profile
from agent.profile_header.names import Names, member

_ORDERS: dict[tuple[int, ...], str] = {(2, 3, 0, 1): "cdab", (1, 0, 3, 2): "badc"}


def record_code(names: Names, profile: Profile, layout: Layout) -> str:
    """Struct, macros of bit fields, and `PREFIX_write`."""
    assert profile.binary is not None, "the caller has seen to that"
    p, block = names.prefix, profile.binary.samples
    lines = [f"#define {names.macro}_RECORD_BYTES {layout.size}u", "", "#pragma pack(push, 1)"]
    if block:
        lines += ["typedef struct {", *_members(profile, layout, block.fields), f"}} {p}_sample_t;", ""]
    lines += ["typedef struct {", *_members(profile, layout, profile.binary.fields)]
    if block:
        lines.append(f"    {p}_sample_t samples[{block.count}]; /* oldest first */")
    lines += [f"}} {p}_t;", "#pragma pack(pop)", ""]
    lines += [_bits_macro(names, bits, layout) for bits in profile.binary.bits]
    kinds = {(place.kind, place.size, place.order) for place in layout.places.values()}
    lines += [line for kind in sorted(kinds) for line in _put(p, *kind)]
    lines += _write(names, profile, layout)
    return "\n".join(lines) + "\n"


def c_type(place: Place) -> str:
    """The C type of a field; 24 bits are kept in 32."""
    if place.kind == "f":
        return {4: "float", 8: "double"}[place.size]
    return f"{'u' if place.kind == 'u' else ''}int{8 * (4 if place.size == 3 else place.size)}_t"


def _members(profile: Profile, layout: Layout, fields: Sequence[BinaryField]) -> Iterator[str]:
    meaning = {channel.source_field: channel for channel in profile.channel}
    length = profile.framing.length
    for field in fields:
        if field.type == "pad":
            continue
        comment = ""
        if channel := meaning.get(field.name):
            offset = f" + {channel.offset!r}" if channel.offset else ""
            comment = f" /* {channel.unit} = {field.name} * {channel.scale!r}{offset} */"
        elif profile.sequence and field.name == profile.sequence.field:
            comment = f" /* counts {profile.sequence.counts}, wraps */"
        elif length and layout.places[field.name].offset == length.offset and profile.framing.kind == "sync":
            comment = " /* the frame's length, set by the encoder */"
        yield f"    {c_type(layout.places[field.name])} {member(field.name)};{comment}"


def _bits_macro(names: Names, bits: BitField, layout: Layout) -> str:
    kind = f"uint{8 * (4 if layout.places[bits.of].size == 3 else layout.places[bits.of].size)}_t"
    mask = (1 << bits.high - bits.low + 1) - 1
    name = f"{names.macro}_{member(bits.name).upper()}"
    return f"#define {name}(value) (({kind})((((uint64_t)(value)) & {mask:#x}u) << {bits.low})) /* into {member(bits.of)} */"


def _put(prefix: str, kind: str, size: int, order: tuple[int, ...]) -> Iterator[str]:
    """One number in one byte order."""
    unsigned = f"uint{8 * (4 if size == 3 else size)}_t"
    name = _put_name(prefix, kind, size, order)
    value = {"f": "float" if size == 4 else "double", "u": unsigned, "i": unsigned.removeprefix("u")}[kind]
    yield f"static inline uint8_t *{name}(uint8_t *at, {value} value)"
    yield "{"
    if kind == "f":
        yield f"    {unsigned} bits;"
        yield "    memcpy(&bits, &value, sizeof bits);"
    else:
        yield f"    {unsigned} bits = ({unsigned})value;"
    shifts = {position: 8 * (size - 1 - rank) for rank, position in enumerate(order)}
    for position in range(size):
        yield f"    at[{position}] = (uint8_t)(bits >> {shifts[position]});"
    yield f"    return at + {size};"
    yield "}"
    yield ""


def _put_name(prefix: str, kind: str, size: int, order: tuple[int, ...]) -> str:
    if size == 1:
        return f"{prefix}_put_{kind}8"
    suffix = _ORDERS.get(order, "be" if order[0] == 0 else "le")
    return f"{prefix}_put_{kind}{8 * size}{suffix}"


def _write(names: Names, profile: Profile, layout: Layout) -> Iterator[str]:
    assert profile.binary is not None, "the caller has seen to that"
    p, block = names.prefix, profile.binary.samples
    yield f"static inline void {p}_write(const {p}_t *record, uint8_t *at)"
    yield "{"
    yield from _puts(p, profile.binary.fields, layout, "record->", "    ")
    if block:
        yield f"    for (size_t i = 0; i < {block.count}; i++) {{"
        yield from _puts(p, block.fields, layout, "record->samples[i].", "        ")
        yield "    }"
    yield "    (void)at;"
    yield "}"


def _puts(prefix: str, fields: Sequence[BinaryField], layout: Layout, owner: str, indent: str) -> Iterator[str]:
    for field in fields:
        if field.type == "pad":
            yield f"{indent}memset(at, 0, {field.size});"
            yield f"{indent}at += {field.size};"
        else:
            place = layout.places[field.name]
            put = _put_name(prefix, place.kind, place.size, place.order)
            yield f"{indent}at = {put}(at, {owner}{member(field.name)});"

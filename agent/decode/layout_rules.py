"""What can be wrong with the layout of a binary record and with `match`, each with its key, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from agent.decode.schema import BinaryField, BinaryRecord, BitField, Profile
from agent.toml_structs import Found, KeyPath, nearest


def problems(profile: Profile) -> Iterator[Found]:
    """Every one of them; fields that do not exist are the profile's to find."""
    if profile.binary is not None:
        yield from _binary(profile.binary)
        yield from _once_a_frame(profile, profile.binary)
        yield from _open_block(profile, profile.binary)
    yield from _match(profile)
    if profile.sequence and profile.sequence.counts == "frames" and profile.frame_samples == 1:
        yield ("sequence", "counts"), "a frame is one sample here", "leave it out"


def _open_block(profile: Profile, record: BinaryRecord) -> Iterator[Found]:
    """Only a framing that ends its frames by itself leaves the number of samples open."""
    if record.samples is None or record.samples.count is not None:
        return
    if profile.framing.kind == "sync" and profile.framing.length is None:
        yield (
            ("binary", "samples"),
            "the frame has no end of its own",
            "give the count of its samples, or a framing.length",
        )


def _binary(record: BinaryRecord) -> Iterator[Found]:
    for index, field in enumerate(record.fields):
        for what, remedy in _field(field):
            yield ("binary", "fields", index), what, remedy
    for index, field in enumerate(record.samples.fields if record.samples else []):
        for what, remedy in _field(field):
            yield ("binary", "samples", "fields", index), what, remedy
    if record.samples and not [field for field in record.samples.fields if field.type != "pad"]:
        yield ("binary", "samples", "fields"), "the block has no fields", "name what a sample holds"
    widths = {field.name: _integer_bits(field) for field in _fields(record)}
    for index, bits in enumerate(record.bits):
        for key, what, remedy in _bits(bits, widths):
            yield ("binary", "bits", index, key), what, remedy


def _fields(record: BinaryRecord) -> list[BinaryField]:
    fields = [*record.fields, *(record.samples.fields if record.samples else [])]
    return [field for field in fields if field.type != "pad"]


def _field(field: BinaryField) -> Iterator[tuple[str, str]]:
    if field.type == "pad":
        if field.name or field.endian or field.word_order:
            yield "reserved bytes have neither a name nor an order", "leave it out, or give the field a type"
        return
    if not field.name:
        yield f"a field of type {field.type} has no name", "name it, or make it a pad"
    if field.size != 1:
        yield f"the type {field.type} says how large the field is", "leave size out"
    if field.word_order and field.type not in ("u32", "i32", "f32"):
        yield f"a field of type {field.type} is no number of four bytes", "give its endian"
    if field.word_order and field.endian:
        yield "word_order and endian both say the order of the bytes", "keep one of them"


def _integer_bits(field: BinaryField) -> int:
    """The width of an integer, zero for a float."""
    return 0 if field.type.startswith("f") else int(field.type[1:])


def _bits(bits: BitField, widths: dict[str, int]) -> Iterator[tuple[str, str, str]]:
    if bits.of not in widths:
        yield "of", f"the record has no field '{bits.of}'", nearest(bits.of, widths)
    elif not widths[bits.of]:
        yield "of", f"'{bits.of}' is no integer", "bits are taken from integers"
    elif bits.high >= widths[bits.of]:
        yield "high", f"'{bits.of}' has no bit {bits.high}", f"its bits are 0 to {widths[bits.of] - 1}"
    if bits.low > bits.high:
        yield "low", f"bits {bits.low} to {bits.high} are none", "swap the two"


def _once_a_frame(profile: Profile, record: BinaryRecord) -> Iterator[Found]:
    """The counter and the time stand before the block of samples, and so does what tells the kind of a frame."""
    if record.samples is None:
        return
    sampled = {field.name for field in record.samples.fields}
    sampled |= {bits.name for bits in record.bits if bits.of in sampled}
    uses: list[tuple[KeyPath, str | None]] = [(("time", "field"), profile.time.field)]
    uses += [(("sequence", "field"), profile.sequence.field)] if profile.sequence else []
    uses += [(("match", name), name) for name in profile.match]
    for path, name in uses:
        if name in sampled:
            yield path, f"'{name}' is a field of the samples", "take a field of the frame"


def _match(profile: Profile) -> Iterator[Found]:
    if profile.match and profile.binary is None and profile.csv is None:
        yield ("match",), "only binary and csv records are of several kinds", "leave it out"
    for name, values in profile.match.items():
        if name not in profile.field_names:
            yield ("match", name), f"the record has no field '{name}'", nearest(name, profile.field_names)
        if not values:
            yield ("match", name), "no value is wanted", "list those of the frames that are read"
        if profile.binary and not all(isinstance(value, int) for value in values):
            yield ("match", name), "a binary field holds no text", "list numbers"

"""The layout of a packed binary record: where each field stands, in which byte order, and how numbers go in and come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.decode.pieces import Octets
from agent.decode.schema import BinaryField, BinaryRecord, BitField, Endian

Number = int | float
Column = npt.NDArray[Any]
_BLOCK = "samples"


@dataclass(frozen=True, slots=True)
class Place:
    """One field: `order` says where in its bytes the most significant one is, then the next; `offset` counts from its row's start."""

    name: str
    kind: str  # u, i or f
    size: int
    order: tuple[int, ...]
    offset: int
    sampled: bool

    @property
    def plain(self) -> str | None:
        """NumPy's name of the type; None for a field that NumPy cannot read by itself."""
        big = tuple(range(self.size))
        if self.size == 3 or self.order not in (big, big[::-1]):
            return None
        return f"{'>' if self.order == big else '<'}{self.kind}{self.size}"

    def numbers(self, raw: Column) -> Column:
        """What a column of this field's bytes uint8 [..., size] says."""
        ordered = np.ascontiguousarray(raw[..., list(self.order)])
        if self.size != 3:
            return np.asarray(ordered.view(f">{self.kind}{self.size}")[..., 0])
        high, middle, low = np.moveaxis(ordered.astype(np.int64), -1, 0)
        values = high << 16 | middle << 8 | low
        return np.asarray((values ^ 0x800000) - 0x800000 if self.kind == "i" else values)

    def octets(self, value: Number) -> bytes:
        """The bytes of a number; an integer field takes the nearest number that it can hold."""
        if self.kind == "f":
            with np.errstate(over="ignore"):
                most_first = np.array(value, dtype=f">f{self.size}").tobytes()
        else:
            lowest, highest = limits(8 * self.size, signed=self.kind == "i")
            most_first = min(max(round(value), lowest), highest).to_bytes(self.size, "big", signed=self.kind == "i")
        wire = bytearray(self.size)
        for octet, position in zip(most_first, self.order, strict=True):
            wire[position] = octet
        return bytes(wire)


class Layout:
    """A record's fields by name, in rows of one block of samples where the profile has one."""

    def __init__(self, record: BinaryRecord) -> None:
        block = record.samples
        header, header_size = _places(record.fields, record.endian, sampled=False)
        sample, sample_size = _places(block.fields if block else [], record.endian, sampled=True)
        self.count = (block.count or 1) if block else 1
        self.places = {place.name: place for place in [*header, *sample]}
        self._plain = {name for name, place in self.places.items() if place.plain is not None}
        self.bits = {bits.name: bits for bits in record.bits}
        self.size = header_size + sample_size * (self.count if block else 0)
        formats = _formats(header)
        if block:
            formats[_BLOCK] = (np.dtype((_dtype(_formats(sample), sample_size), (self.count,))), header_size)
        self.dtype = _dtype(formats, self.size)
        self._header_size, self._sample_size = header_size, sample_size

    def table(self, rows: Octets) -> npt.NDArray[np.void]:
        """Records uint8 [n, size] as n records of fields."""
        return np.ascontiguousarray(rows).view(self.dtype)[:, 0]

    def adjoining(self, names: Sequence[str]) -> tuple[slice, str] | None:
        """The bytes of a record that hold these fields of each sample, in this order and nothing else, and NumPy's name of their type.

        None where they hold something else too, or fields of several types.
        """
        places = [self.places.get(name) for name in names]
        first = places[0]
        if first is None or first.plain is None or (first.sampled and self._sample_size != first.size * len(names)):
            return None
        for index, place in enumerate(places):
            alike = place is not None and (place.plain, place.sampled) == (first.plain, first.sampled)
            if place is None or not alike or place.offset != first.offset + index * first.size:
                return None
        if first.sampled:
            return slice(self._header_size, self.size), first.plain
        return (slice(first.offset, first.offset + first.size * len(names)), first.plain) if self.count == 1 else None

    def columns(self, table: npt.NDArray[np.void], name: str) -> Column:
        """A field of n records: [n, count] for one of the block of samples, [n, 1] for another."""
        bits = self.bits.get(name)
        place = self.places[bits.of if bits else name]
        raw = table[_BLOCK][place.name] if place.sampled else table[place.name][:, np.newaxis]
        values = raw if place.name in self._plain else place.numbers(raw)
        return values if bits is None else _extract(values, bits)

    def sampled(self, name: str) -> bool:
        """Whether the field stands in the block of samples."""
        return self.places[self.bits[name].of if name in self.bits else name].sampled

    def is_float(self, name: str) -> bool:
        """Whether the field can say NaN."""
        return name in self.places and self.places[name].kind == "f"

    def pack(self, rows: Sequence[Mapping[str, Number]]) -> bytes:
        """A record of `count` rows of fields; what is not given is zero, and fields before the block come from the first row."""
        merged = [self._merged(row) for row in rows]
        record = bytearray(self.size)
        for place in self.places.values():
            for index, row in enumerate(merged if place.sampled else merged[:1]):
                start = place.offset + (self._header_size + index * self._sample_size if place.sampled else 0)
                if place.name in row:
                    record[start : start + place.size] = place.octets(row[place.name])
        return bytes(record)

    def unpack(self, record: bytes) -> list[dict[str, Number]]:
        """The raw fields of one record, one row for each sample; the first row alone has the fields before the block."""
        table = np.frombuffer(record, dtype=self.dtype)
        rows: list[dict[str, Number]] = [{} for _ in range(self.count)]
        for name, place in self.places.items():
            for row, value in zip(rows, self.columns(table, name)[0].tolist(), strict=False):
                row[name] = value
            assert place.sampled or name in rows[0]
        return rows

    def _merged(self, row: Mapping[str, Number]) -> dict[str, Number]:
        """The row with its bit fields put into the integers that carry them."""
        merged = {name: value for name, value in row.items() if name not in self.bits}
        for name, bits in self.bits.items():
            if name in row:
                width = bits.high - bits.low + 1
                lowest, highest = limits(width, signed=bits.signed)
                field = min(max(round(row[name]), lowest), highest) & ((1 << width) - 1)
                merged[bits.of] = int(merged.get(bits.of, 0)) | field << bits.low
        return merged


def limits(bits: int, *, signed: bool) -> tuple[int, int]:
    """The lowest and highest integer of so many bits."""
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def field_bytes(field: BinaryField) -> int:
    """The size of a field on the wire."""
    return field.size if field.type == "pad" else int(field.type[1:]) // 8


def _places(fields: Sequence[BinaryField], endian: Endian, *, sampled: bool) -> tuple[list[Place], int]:
    places, offset = [], 0
    for field in fields:
        size = field_bytes(field)
        if field.type != "pad":
            order = _order(field, size, endian)
            places.append(Place(field.name, field.type[0], size, order, offset, sampled))
        offset += size
    return places, offset


def _order(field: BinaryField, size: int, endian: Endian) -> tuple[int, ...]:
    if field.word_order is not None:
        return tuple(field.word_order.index(octet) for octet in "ABCD")
    big = tuple(range(size))
    return big if (field.endian or endian) == "big" else big[::-1]


def _formats(places: Sequence[Place]) -> dict[str, tuple[Any, int]]:
    return {place.name: (place.plain or f"({place.size},)u1", place.offset) for place in places}


def _dtype(formats: Mapping[str, tuple[Any, int]], size: int) -> np.dtype[np.void]:
    kinds, offsets = [each[0] for each in formats.values()], [each[1] for each in formats.values()]
    return np.dtype({"names": list(formats), "formats": kinds, "offsets": offsets, "itemsize": size})


def _extract(values: Column, bits: BitField) -> npt.NDArray[np.int64]:
    width = bits.high - bits.low + 1
    field = values.astype(np.int64).view(np.uint64) >> np.uint64(bits.low) & np.uint64((1 << width) - 1)
    if bits.signed:
        sign = np.uint64(1 << width - 1)
        return np.asarray((field ^ sign).view(np.int64) - sign.view(np.int64))
    return field.view(np.int64)

"""Seals: how a checksum goes with a record; closing adds it, opening checks it and takes it off."""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from agent.decode.checksum import CATALOGUE, Algorithm
from agent.decode.checksum_rows import ChecksumRows
from agent.decode.pieces import BoolArray, Pieces
from agent.decode.schema import ChecksumRule


class Seal(Protocol):
    """Adds and removes the checksum of a record."""

    def close(self, record: bytes, /) -> bytes:
        """The record with its checksum."""
        ...

    def open(self, sealed: bytes, /) -> bytes | None:
        """The record without its checksum, or None where that is wrong."""
        ...

    def open_all(self, sealed: Pieces, /) -> tuple[Pieces, BoolArray]:
        """`open` of each, and which of them are good, bool [n]; what stands in the place of another means nothing."""
        ...


class TrailingSeal:
    """The checksum in binary behind the record."""

    def __init__(self, algorithm: Algorithm, width: int, endian: Literal["little", "big"]) -> None:
        self._algorithm = algorithm
        self._width = width
        self._endian = endian
        self._stored = np.dtype(f"{'<' if endian == 'little' else '>'}u{width}")
        self._rows = ChecksumRows(algorithm)

    def close(self, record: bytes, /) -> bytes:
        return record + self._algorithm(record).to_bytes(self._width, self._endian)

    def open(self, sealed: bytes, /) -> bytes | None:
        record = sealed[: -self._width]
        good = self._algorithm(record) == int.from_bytes(sealed[-self._width :], self._endian)
        return record if good and record else None

    def open_all(self, sealed: Pieces, /) -> tuple[Pieces, BoolArray]:
        width = self._width
        if int(sealed.sizes.min(initial=width + 1)) <= width:
            return open_each(sealed, self.open)
        records = sealed.within(0, width)
        said = sealed.octets[records.ends[:, np.newaxis] + np.arange(width)].view(self._stored)[:, 0]
        return records, self._checksums(records) == said

    def _checksums(self, records: Pieces) -> npt.NDArray[np.uint32]:
        if len(records) and self._rows.pays(len(records), len(records[0])) and (rows := records.table()) is not None:
            return self._rows.of(rows)
        return np.fromiter(map(self._algorithm, records), dtype=np.uint32, count=len(records))


class GroupedSeal:
    """A checksum behind every group of so many bytes, as Sensirion's sensors send a CRC behind every 16-bit word."""

    def __init__(self, inner: TrailingSeal, group_bytes: int, width: int) -> None:
        self._inner = inner
        self._group = group_bytes
        self._step = group_bytes + width

    def close(self, record: bytes, /) -> bytes:
        group = self._group
        return b"".join([self._inner.close(record[at : at + group]) for at in range(0, len(record), group)])

    def open(self, sealed: bytes, /) -> bytes | None:
        step = self._step
        groups = [self._inner.open(sealed[at : at + step]) for at in range(0, len(sealed), step)]
        whole = [group for group in groups if group is not None]
        return b"".join(whole) if whole and len(whole) == len(groups) and len(sealed) % step == 0 else None

    def open_all(self, sealed: Pieces, /) -> tuple[Pieces, BoolArray]:
        return open_each(sealed, self.open)


class HexSeal:
    """The checksum as hex digits at the end of a line of text, as in NMEA 0183: `$` record `*hh`."""

    def __init__(self, algorithm: Algorithm, width: int, start: str, marker: str) -> None:
        self._algorithm = algorithm
        self._width = width
        self._start = start.encode()
        self._marker = marker.encode()

    def close(self, record: bytes, /) -> bytes:
        digits = f"{self._algorithm(record):0{2 * self._width}X}".encode()
        return self._start + record + self._marker + digits

    def open(self, sealed: bytes, /) -> bytes | None:
        body, marker, digits = sealed.rstrip().rpartition(self._marker)
        if not marker or not body.startswith(self._start):
            return None
        try:
            said = binascii.unhexlify(digits)
        except binascii.Error:
            return None
        record = body[len(self._start) :]
        whole = len(said) == self._width and self._algorithm(record) == int.from_bytes(said, "big")
        return record if whole else None

    def open_all(self, sealed: Pieces, /) -> tuple[Pieces, BoolArray]:
        return open_each(sealed, self.open)


def seal(rule: ChecksumRule) -> Seal:
    """The seal that a checked profile asks for; what `covers` means is the framing's to say."""
    algorithm, width = CATALOGUE[rule.name]
    if rule.encoding == "hex":
        return HexSeal(algorithm, width, rule.start, rule.marker)
    trailing = TrailingSeal(algorithm, width, rule.endian)
    return trailing if rule.every_bytes is None else GroupedSeal(trailing, rule.every_bytes, width)


def open_each(sealed: Pieces, open_one: Callable[[bytes], bytes | None]) -> tuple[Pieces, BoolArray]:
    """`open_all` for what is opened one after another."""
    records = list(map(open_one, sealed))
    return Pieces.of([record or b"" for record in records]), np.array(
        [record is not None for record in records], dtype=bool
    )

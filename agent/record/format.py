"""A recording's format: records that carry their own length and checksum, so that damage costs no more than it touched.

A record is a mark, the length of its body and the CRC-32 (ISO-HDLC) of length and body, then the body: a MessagePack array
that begins with a number for its kind. A chunk is a map, so that a field it gains later is a default in older files.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import msgspec

from agent.errors import UNREADABLE
from agent.metrics import Counters
from agent.types import Chunk

VERSION = 1
MARK = b"\xf5St\xc3"

_HEADER = struct.Struct("<4sII")
_LENGTH = struct.Struct("<I")


class Opening(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The first record of a segment. `session` is one run of the recorder: another one begins with a fresh pipeline."""

    version: int
    session: str
    segment: int
    agent_version: str


class Taken(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A chunk, and in which step the pipeline took it; steps are numbered from zero within their session."""

    step: int
    chunk: Chunk


class Dropped(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """What was not recorded before this point, because the disk was too slow or refused."""

    chunks: int
    bytes: int


Record = Opening | Taken | Dropped

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def encode(record: Record) -> bytes:
    """The record as it lies on disk."""
    return framed(_encoder.encode(record))


def framed(body: bytes) -> bytes:
    """A body with its mark, length and checksum."""
    return _HEADER.pack(MARK, len(body), _checksum(body)) + body


def records(segment: bytes, counters: Counters) -> Iterator[Record]:
    """The whole records of a segment, in order; what lies between them is skipped and counted.

    counters: records, damaged (stretches that are no record, a torn end among them), damaged_bytes, unknown (records of a kind or
    shape that only a newer version writes).
    """
    position, skipped_from = 0, -1
    while position < len(segment):
        body = _body(segment, position)
        if body is None:
            skipped_from = position if skipped_from < 0 else skipped_from
            position = segment.find(MARK, position + 1)
            if position < 0:
                position = len(segment)
            continue
        if skipped_from >= 0:
            _count_damage(counters, position - skipped_from)
            skipped_from = -1
        position += _HEADER.size + len(body)
        try:
            record = _decoder.decode(body)
        except UNREADABLE:
            counters.add("unknown")
            continue
        counters.add("records")
        yield record
    if skipped_from >= 0:
        _count_damage(counters, position - skipped_from)


def _body(segment: bytes, position: int) -> bytes | None:
    """The body of the record that begins at `position`; None where none does."""
    if len(segment) - position < _HEADER.size:
        return None
    mark, length, checksum = _HEADER.unpack_from(segment, position)
    body = segment[position + _HEADER.size : position + _HEADER.size + length] if mark == MARK else b""
    return body if mark == MARK and len(body) == length and _checksum(body) == checksum else None


def _checksum(body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_LENGTH.pack(len(body))))


def _count_damage(counters: Counters, size: int) -> None:
    counters.add("damaged")
    counters.add("damaged_bytes", size)

"""Frames that begin with a sync word or a length: only the checksum tells one from bytes that look like its beginning."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from agent.decode.frame_shape import FrameShape
from agent.decode.framing_delimited import chunk_of
from agent.decode.pieces import BoolArray, Pieces
from agent.types import Int64Array

# How many frames of one size are checked at once; twice as many each time that all were good, so that noise spoils no more than was gained.
_FIRST_RUN = 32


class Opener(Protocol):
    """Gives the records of whole frames."""

    def open(self, frame: bytes, /) -> bytes | None:
        """The record of a frame, or None where its checksum is wrong."""
        ...

    def open_all(self, frames: Pieces, /) -> tuple[Pieces, BoolArray]:
        """`open` of each, and which of them are good, bool [n]."""
        ...


class HeaderFramer:
    """Finds frames of one shape and opens them.

    A frame that fails is not skipped as a whole: what it claims as its length may be noise, and the next frame may begin
    inside it. The search goes on at its second byte, so that noise costs no frame but the one it hit. Records are
    checked already, so that their sync words, lengths and checksums count as delimiters.
    """

    def __init__(self, shape: FrameShape, opener: Opener) -> None:
        self._shape = shape
        self._opener = opener
        self._tail = b""
        self._refused_until = (
            0  # offset in the stream: where the last frame that was counted as refused would have ended
        )
        self.delimiter_bytes = 0
        self.skipped_bytes = 0
        self.overlong = 0
        self.checksum_errors = 0

    @property
    def held_bytes(self) -> int:
        return len(self._tail)

    def cut(self, chunks: Sequence[bytes]) -> tuple[Sequence[bytes], Int64Array]:
        held = len(self._tail)
        stream = b"".join([self._tail, *chunks])
        records: list[bytes] = []
        ends: list[int] = []
        search = _Search(self._shape, stream)
        end = 0
        while True:
            at = search.next(end)
            self.skipped_bytes += at - end
            size = search.size(at)
            if size is None or at + size > len(stream):
                break
            end = at + size
            record = self._opener.open(stream[at:end])
            if record is None:
                self._refuse(at, end)
                self.skipped_bytes += 1
                end = at + 1
            else:
                self.delimiter_bytes += size - len(record)
                records.append(record)
                ends.append(end)
                if self._shape.uniform:
                    end = self._runs(stream, end, records, ends)
        self._tail = stream[at:]
        self._refused_until = max(0, self._refused_until - at)
        return records, chunk_of(np.array(ends, dtype=np.int64) - held, chunks)

    def _runs(self, stream: bytes, at: int, records: list[bytes], ends: list[int]) -> int:
        """Take the good frames of one size that follow a good one, as they do on a line without noise; the end of the last of them."""
        start, size, wanted = self._shape.start, self._shape.longest, _FIRST_RUN
        while stream.startswith(start, at) and stream.startswith(start, at + size):
            run = self._run(stream, at, wanted)
            records += run
            ends += range(at + size, at + len(run) * size + 1, size)
            at += len(run) * size
            if len(run) < wanted:
                break
            wanted *= 2
        return at

    def _run(self, stream: bytes, at: int, wanted: int) -> Pieces:
        """The records of up to so many frames, up to the first that is broken."""
        start, size = self._shape.start, self._shape.longest
        count = min(wanted, (len(stream) - at) // size)
        rows = np.frombuffer(stream, np.uint8, count * size, at).reshape(count, size)
        count = _leading((rows[:, : len(start)] == np.frombuffer(start, np.uint8)).all(axis=1))
        ends = np.arange(at + size, at + count * size + 1, size)
        opened, good = self._opener.open_all(Pieces(stream, ends - size, ends))
        records = opened[: _leading(good)]
        self.delimiter_bytes += len(records) * size - int(records.sizes.sum())
        return records

    def _refuse(self, at: int, end: int) -> None:
        """Count the frame, unless it begins inside one that was counted: a broken frame may look like several."""
        if at >= self._refused_until:
            self.checksum_errors += 1
            self._refused_until = end


def _leading(good: BoolArray) -> int:
    """How many are good before the first that is not."""
    return len(good) if good.all() else int(good.argmin())


class _Search:
    """Where frames may begin in a stretch of the stream."""

    def __init__(self, shape: FrameShape, stream: bytes) -> None:
        self._shape = shape
        self._stream = stream
        self._starts: list[int] | None = None

    def next(self, at: int) -> int:
        """The first place at or behind `at` where a frame may begin, as far as its bytes are there."""
        return self._sync_from(at) if self._shape.start else self._length_from(at)

    def size(self, at: int) -> int | None:
        """How long the frame at `at` says it is, or None where its header is not all there."""
        return None if at + self._shape.header_bytes > len(self._stream) else self._shape.size(self._stream, at)

    def _sync_from(self, at: int) -> int:
        shape, stream, start = self._shape, self._stream, self._shape.start
        while True:
            found = stream.find(start, at)
            if found < 0:
                return max(at, len(stream) - len(start) + 1)
            if found + shape.header_bytes > len(stream) or shape.possible(shape.size(stream, found)):
                return found
            at = found + 1

    def _length_from(self, at: int) -> int:
        """Where the length is possible; beyond a first failure, all such places are found by one pass over the stream."""
        shape, stream = self._shape, self._stream
        if at + shape.header_bytes > len(stream) or shape.possible(shape.size(stream, at)):
            return at
        if self._starts is None:
            sizes = _lengths(stream, shape) + shape.adds
            self._starts = np.flatnonzero((sizes >= shape.shortest) & (sizes <= shape.longest)).tolist()
        place = bisect_left(self._starts, at)
        return self._starts[place] if place < len(self._starts) else len(stream) - shape.header_bytes + 1


def _lengths(stream: bytes, shape: FrameShape) -> Int64Array:
    """The length field read at every place of the stream where it is whole."""
    octets = np.frombuffer(stream, dtype=np.uint8).astype(np.int64)
    width = shape.length_width
    places = len(stream) - width + 1
    shifts = range(0, 8 * width, 8) if shape.length_endian == "little" else range(8 * (width - 1), -1, -8)
    return np.asarray(sum(octets[index : index + places] << shift for index, shift in enumerate(shifts)))

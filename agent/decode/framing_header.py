"""Frames that begin with a sync word or a length: only the checksum tells one from bytes that look like its beginning."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

import numpy as np

from agent.decode.frame_shape import FrameShape
from agent.types import Int64Array

Open = Callable[[bytes], bytes | None]


class HeaderFramer:
    """Finds frames of one shape; `open` gives the record of a whole frame, or None where its checksum is wrong.

    A frame that fails is not skipped as a whole: what it claims as its length may be noise, and the next frame may begin
    inside it. The search goes on at its second byte, so that noise costs no frame but the one it hit. Records are
    checked already, so that their sync words, lengths and checksums count as delimiters.
    """

    def __init__(self, shape: FrameShape, open_frame: Open) -> None:
        self._shape = shape
        self._open = open_frame
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

    def feed(self, data: bytes) -> list[bytes]:
        stream = self._tail + data
        records: list[bytes] = []
        search = _Search(self._shape, stream)
        end = 0
        while True:
            if self._shape.uniform:
                end = self._run(stream, end, records)
            at = search.next(end)
            self.skipped_bytes += at - end
            size = search.size(at)
            if size is None or at + size > len(stream):
                break
            end = at + size
            record = self._open(stream[at:end])
            if record is None:
                self._refuse(at, end)
                self.skipped_bytes += 1
                end = at + 1
            else:
                self.delimiter_bytes += size - len(record)
                records.append(record)
        self._tail = stream[at:]
        self._refused_until = max(0, self._refused_until - at)
        return records

    def _run(self, stream: bytes, at: int, records: list[bytes]) -> int:
        """Take good frames of one size as long as they follow each other, which is what a line does; the end of the last one."""
        start, size, open_frame = self._shape.start, self._shape.longest, self._open
        first, before = at, len(records)
        while (end := at + size) <= len(stream) and stream.startswith(start, at):
            record = open_frame(stream[at:end])
            if record is None:
                break
            records.append(record)
            at = end
        self.delimiter_bytes += at - first - sum(map(len, records[before:]))
        return at

    def _refuse(self, at: int, end: int) -> None:
        """Count the frame, unless it begins inside one that was counted: a broken frame may look like several."""
        if at >= self._refused_until:
            self.checksum_errors += 1
            self._refused_until = end


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

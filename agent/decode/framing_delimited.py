"""Frames that end with a delimiter: text lines, COBS and SLIP."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from agent.decode.pieces import Pieces
from agent.types import Int64Array


class DelimitedFramer:
    """Frames that end with a delimiter.

    Where `joined_midway`, what precedes the first delimiter may be the tail of a frame, and is skipped.
    """

    def __init__(self, delimiter: bytes, max_frame_bytes: int, *, joined_midway: bool = False) -> None:
        self.checksum_errors = 0
        self._delimiter = delimiter
        self._max_frame_bytes = max_frame_bytes
        self._skipping = joined_midway
        self._tail = b""
        self.delimiter_bytes = 0
        self.overlong = 0
        self.skipped_bytes = 0

    @property
    def held_bytes(self) -> int:
        return len(self._tail)

    def cut(self, chunks: Sequence[bytes]) -> tuple[Pieces, Int64Array]:
        held, width = len(self._tail), len(self._delimiter)
        stream = b"".join([self._tail, *chunks])
        ends = self._ends(stream)
        starts = np.zeros(len(ends), dtype=np.int64)
        starts[1:] = ends[:-1] + width
        whole = int(ends[-1]) + width if len(ends) else 0
        self._tail = stream[whole:]
        self.delimiter_bytes += len(ends) * width
        if self._skipping and len(ends):
            self.skipped_bytes += int(ends[0])
            self._skipping = False
            starts, ends = starts[1:], ends[1:]
        if len(self._tail) > self._max_frame_bytes and not self._skipping:
            self.overlong += 1
            self._skipping = True
        if self._skipping:
            self._skip_tail()
        frames = self._fitting(Pieces(stream[:whole], starts, ends))
        return frames, chunk_of(frames.ends + (width - held), chunks)

    def _ends(self, stream: bytes) -> Int64Array:
        """Where each delimiter begins."""
        delimiter = self._delimiter
        if len(delimiter) == 1:
            return np.flatnonzero(np.frombuffer(stream, dtype=np.uint8) == delimiter[0])
        return np.array([found.start() for found in re.finditer(re.escape(delimiter), stream)], dtype=np.int64)

    def _skip_tail(self) -> None:
        # The last bytes may be the beginning of a longer delimiter.
        keep = len(self._delimiter) - 1
        cut = max(0, len(self._tail) - keep)
        self.skipped_bytes += cut
        self._tail = self._tail[cut:]

    def _fitting(self, frames: Pieces) -> Pieces:
        """Those that are neither empty nor too long."""
        sizes = frames.sizes
        overlong = sizes > self._max_frame_bytes
        unfit = overlong | (sizes == 0)
        if not np.count_nonzero(unfit):
            return frames
        self.overlong += int(np.count_nonzero(overlong))
        self.skipped_bytes += int(sizes[overlong].sum())
        return frames.only(~unfit)


def chunk_of(ends: Int64Array, chunks: Sequence[bytes]) -> Int64Array:
    """The index of the chunk that completed each frame, int64 [n]; `ends` counts the bytes from the first chunk's start to a frame's end."""
    if len(chunks) == 1:
        return np.zeros(len(ends), dtype=np.int64)
    return np.searchsorted(np.cumsum([len(chunk) for chunk in chunks]), ends)

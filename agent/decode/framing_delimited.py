"""Frames that end with a delimiter: text lines, COBS and SLIP."""

from __future__ import annotations


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

    def feed(self, data: bytes) -> list[bytes]:
        parts = (self._tail + data).split(self._delimiter)
        self._tail = parts.pop()
        if parts:
            self.delimiter_bytes += len(parts) * len(self._delimiter)
            if self._skipping:
                self.skipped_bytes += len(parts.pop(0))
                self._skipping = False
        if len(self._tail) > self._max_frame_bytes and not self._skipping:
            self.overlong += 1
            self._skipping = True
        if self._skipping:
            self._skip_tail()
        frames = [part for part in parts if part]
        if frames and max(map(len, frames)) > self._max_frame_bytes:
            frames = self._without_overlong(frames)
        return frames

    def _skip_tail(self) -> None:
        # The last bytes may be the beginning of a longer delimiter.
        keep = len(self._delimiter) - 1
        cut = max(0, len(self._tail) - keep)
        self.skipped_bytes += cut
        self._tail = self._tail[cut:]

    def _without_overlong(self, frames: list[bytes]) -> list[bytes]:
        kept = [frame for frame in frames if len(frame) <= self._max_frame_bytes]
        self.overlong += len(frames) - len(kept)
        self.skipped_bytes += sum(map(len, frames)) - sum(map(len, kept))
        return kept

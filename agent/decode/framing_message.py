"""Frames that a message broker has cut already."""

from __future__ import annotations


class MessageFramer:
    """Each piece of data is one frame, as a message broker delivers it."""

    held_bytes = 0
    delimiter_bytes = 0
    checksum_errors = 0

    def __init__(self, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self.overlong = 0
        self.skipped_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        if len(data) > self._max_frame_bytes:
            self.overlong += 1
            self.skipped_bytes += len(data)
            return []
        return [data] if data else []

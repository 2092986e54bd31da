"""Frames that a message broker has cut already."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.types import Int64Array


class MessageFramer:
    """Each chunk is one frame, as a message broker delivers it."""

    held_bytes = 0
    delimiter_bytes = 0
    checksum_errors = 0

    def __init__(self, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self.overlong = 0
        self.skipped_bytes = 0

    def cut(self, chunks: Sequence[bytes]) -> tuple[Sequence[bytes], Int64Array]:
        sizes = list(map(len, chunks))
        if min(sizes, default=0) > 0 and max(sizes) <= self._max_frame_bytes:
            return chunks, np.arange(len(chunks))
        fit = [index for index, size in enumerate(sizes) if 0 < size <= self._max_frame_bytes]
        overlong = [size for size in sizes if size > self._max_frame_bytes]
        self.overlong += len(overlong)
        self.skipped_bytes += sum(overlong)
        return [chunks[index] for index in fit], np.array(fit, dtype=np.int64)

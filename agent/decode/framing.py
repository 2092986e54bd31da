"""Framers: a byte stream cut into frames, with bounded memory and nothing lost beyond a broken frame."""

from __future__ import annotations

from typing import Protocol

from agent.decode.schema import Profile


class Framer(Protocol):
    """Cuts frames out of a stream. Every byte fed is in a frame, in a delimiter, skipped, or held."""

    @property
    def held_bytes(self) -> int:
        """Bytes of a frame that has not ended yet."""
        ...

    @property
    def delimiter_bytes(self) -> int:
        """Bytes of delimiters seen so far."""
        ...

    @property
    def overlong(self) -> int:
        """Frames that were skipped because they are longer than a frame can be."""
        ...

    @property
    def skipped_bytes(self) -> int:
        """Bytes of those frames, and of the torn frame in which the stream was joined."""
        ...

    def feed(self, data: bytes) -> list[bytes]:
        """The frames, none empty and without their delimiters, that `data` completes."""
        ...


class DelimitedFramer:
    """Frames that end with a delimiter.

    Where `joined_midway`, what precedes the first delimiter may be the tail of a frame, and is skipped.
    """

    def __init__(self, delimiter: bytes, max_frame_bytes: int, *, joined_midway: bool = False) -> None:
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


class MessageFramer:
    """Each piece of data is one frame, as a message broker delivers it."""

    held_bytes = 0
    delimiter_bytes = 0

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


def framer(profile: Profile) -> Framer:
    """The framer that a profile asks for."""
    framing = profile.framing
    if framing.kind == "message":
        return MessageFramer(framing.max_frame_bytes)
    if framing.kind == "cobs":
        # COBS is checked by its own structure and the checksum, so a torn first frame cannot pass for a whole one.
        return DelimitedFramer(b"\0", framing.max_frame_bytes)
    # Text is not: "109.5" torn into "9.5" is a perfect number.
    return DelimitedFramer(framing.delimiter.encode(), framing.max_frame_bytes, joined_midway=True)

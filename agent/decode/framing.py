"""Framers: a byte stream cut into frames, with bounded memory and nothing lost beyond a broken frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agent.decode.frame_shape import FrameShape, frame_shape
from agent.decode.framing_delimited import DelimitedFramer
from agent.decode.framing_header import HeaderFramer
from agent.decode.framing_message import MessageFramer
from agent.decode.pieces import BoolArray, Pieces
from agent.decode.schema import ChecksumRule, Profile
from agent.decode.seal import seal
from agent.decode.stuffing import STUFFINGS
from agent.types import Int64Array

__all__ = ["DelimitedFramer", "Framer", "HeaderFramer", "MessageFramer", "framer"]


class Framer(Protocol):
    """Cuts frames out of a stream. Every byte fed is in a frame, in a delimiter, skipped, or held."""

    @property
    def held_bytes(self) -> int:
        """Bytes of a frame that has not ended yet."""
        ...

    @property
    def delimiter_bytes(self) -> int:
        """Bytes of delimiters seen so far, and of sync words, lengths and checksums where the framer checked them."""
        ...

    @property
    def overlong(self) -> int:
        """Frames that were skipped because they are longer than a frame can be."""
        ...

    @property
    def checksum_errors(self) -> int:
        """Frames that were skipped because the framer found their checksum wrong."""
        ...

    @property
    def skipped_bytes(self) -> int:
        """Bytes of those frames, and of the torn frame in which the stream was joined."""
        ...

    def cut(self, chunks: Sequence[bytes]) -> tuple[Sequence[bytes], Int64Array]:
        """The frames, none empty and without their delimiters, that the chunks complete; and which chunk completed each, int64 [n]."""
        ...


def framer(profile: Profile) -> Framer:
    """The framer that a profile asks for."""
    framing = profile.framing
    if framing.kind == "message":
        return MessageFramer(framing.max_frame_bytes)
    if framing.kind in ("sync", "length"):
        assert profile.checksum is not None, (
            "a checked profile has a checksum where a frame begins with a sync word or a length"
        )
        shape = frame_shape(profile)
        return HeaderFramer(shape, _Opening(profile.checksum, shape))
    if framing.kind == "lines":
        # "109.5" torn into "9.5" is a perfect number, unless a checksum says otherwise.
        joined_midway = profile.checksum is None
        return DelimitedFramer(framing.delimiter.encode(), framing.max_frame_bytes, joined_midway=joined_midway)
    # A torn COBS frame is told by its own structure, a torn SLIP frame by its checksum alone.
    joined_midway = framing.kind == "slip" and profile.checksum is None
    return DelimitedFramer(STUFFINGS[framing.kind].end, framing.max_frame_bytes, joined_midway=joined_midway)


class _Opening:
    """How the records come out of whole frames of a shape."""

    def __init__(self, rule: ChecksumRule, shape: FrameShape) -> None:
        self._seal = seal(rule)
        uncovered = shape.record_at if rule.covers == "record" else 0
        self._before, self._behind = (
            uncovered,
            shape.record_at - uncovered,
        )  # what is taken off before and behind the check

    def open(self, frame: bytes) -> bytes | None:
        opened = self._seal.open(frame[self._before :])
        return None if opened is None else opened[self._behind :]

    def open_all(self, frames: Pieces) -> tuple[Pieces, BoolArray]:
        records, good = self._seal.open_all(frames.within(self._before, 0))
        return records.within(self._behind, 0), good

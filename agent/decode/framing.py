"""Framers: a byte stream cut into frames, with bounded memory and nothing lost beyond a broken frame."""

from __future__ import annotations

from typing import Protocol

from agent.decode.frame_shape import FrameShape, frame_shape
from agent.decode.framing_delimited import DelimitedFramer
from agent.decode.framing_header import HeaderFramer, Open
from agent.decode.framing_message import MessageFramer
from agent.decode.schema import Profile
from agent.decode.seal import seal
from agent.decode.stuffing import STUFFINGS

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

    def feed(self, data: bytes) -> list[bytes]:
        """The frames, none empty and without their delimiters, that `data` completes."""
        ...


def framer(profile: Profile) -> Framer:
    """The framer that a profile asks for."""
    framing = profile.framing
    if framing.kind == "message":
        return MessageFramer(framing.max_frame_bytes)
    if framing.kind in ("sync", "length"):
        shape = frame_shape(profile)
        return HeaderFramer(shape, _opener(profile, shape))
    if framing.kind == "lines":
        # "109.5" torn into "9.5" is a perfect number, unless a checksum says otherwise.
        joined_midway = profile.checksum is None
        return DelimitedFramer(framing.delimiter.encode(), framing.max_frame_bytes, joined_midway=joined_midway)
    # A torn COBS frame is told by its own structure, a torn SLIP frame by its checksum alone.
    joined_midway = framing.kind == "slip" and profile.checksum is None
    return DelimitedFramer(STUFFINGS[framing.kind].end, framing.max_frame_bytes, joined_midway=joined_midway)


def _opener(profile: Profile, shape: FrameShape) -> Open:
    """How the record comes out of a whole frame of this shape."""
    assert profile.checksum is not None, (
        "a checked profile has a checksum where a frame begins with a sync word or a length"
    )
    open_seal, record_at = seal(profile.checksum).open, shape.record_at
    if profile.checksum.covers == "record":
        return lambda frame: open_seal(frame[record_at:])

    def open_whole(frame: bytes) -> bytes | None:
        opened = open_seal(frame)
        return None if opened is None else opened[record_at:]

    return open_whole

"""Wrapping: a record made into the bytes of its frame, with checksum, length, sync word, stuffing and delimiter."""

from __future__ import annotations

from agent.decode.frame_shape import FrameShape, frame_shape
from agent.decode.schema import Profile
from agent.decode.seal import Seal, seal
from agent.decode.stuffing import STUFFINGS


class Wrapping:
    """The inverse of a framer and its envelope."""

    def __init__(self, profile: Profile) -> None:
        framing = profile.framing
        self._seal = seal(profile.checksum) if profile.checksum else None
        self._covers_frame = profile.checksum is not None and profile.checksum.covers == "frame"
        self._sync = bytes.fromhex(framing.sync)
        self._shape = frame_shape(profile) if framing.kind in ("sync", "length") else None
        self._stuff, self.delimiter = None, framing.delimiter.encode() if framing.kind == "lines" else b""
        if framing.kind in STUFFINGS:
            self._stuff, self.delimiter = STUFFINGS[framing.kind].encode, STUFFINGS[framing.kind].end

    def frame(self, record: bytes) -> bytes:
        """The frame of a record; one that is delimited ends with its delimiter."""
        if self._shape is not None and self._seal is not None:
            return self._headed(record, self._shape, self._seal)
        if self._seal is not None:
            record = self._seal.close(record)
        return (record if self._stuff is None else self._stuff(record)) + self.delimiter

    def _headed(self, record: bytes, shape: FrameShape, closing: Seal) -> bytes:
        """The length is inside the record where a sync word stands before it, else before the record."""
        size = shape.record_at + len(closing.close(record))
        length = shape.length_field(size)
        at = shape.length_at - shape.record_at
        header = self._sync
        if at < 0:
            header += length
        elif length:
            record = record[:at] + length + record[at + len(length) :]
        return closing.close(header + record) if self._covers_frame else header + closing.close(record)

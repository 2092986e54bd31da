"""The envelope of a record: byte stuffing and a checksum, taken off a frame and checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from agent.decode.schema import Profile
from agent.decode.seal import seal
from agent.decode.stuffing import BROKEN, STUFFINGS, Stuffing

# Why a frame gave no sample, by its index among the frames; the reasons are names of counters.
Rejected = dict[int, str]


class Envelope:
    """Opens frames into records; frames that begin with a sync word or a length come opened from their framer."""

    def __init__(self, profile: Profile) -> None:
        kind = profile.framing.kind
        self._stuffing = STUFFINGS.get(kind)
        sealed = profile.checksum is not None and kind not in ("sync", "length")
        self._seal = seal(profile.checksum) if profile.checksum and sealed else None

    def open(self, frames: list[bytes]) -> tuple[list[bytes], Rejected]:
        """The records of the frames that are whole, in order, and why each of the others is not."""
        opened: list[bytes | None] = list(frames)
        rejected: Rejected = {}
        if self._stuffing is not None:
            opened = _unstuffed(frames, self._stuffing)
            rejected = {index: "decode_errors" for index, record in enumerate(opened) if record is None}
        records = [record for record in opened if record is not None] if rejected else cast("list[bytes]", opened)
        if self._seal is None:
            return records, rejected
        unsealed = self._seal.open_all(records)
        if None in unsealed:
            places = [index for index in range(len(frames)) if index not in rejected]
            broken = [place for place, record in zip(places, unsealed, strict=True) if record is None]
            rejected.update(dict.fromkeys(broken, "checksum_errors"))
        return [record for record in unsealed if record is not None], rejected


def _unstuffed(frames: list[bytes], stuffing: Stuffing) -> list[bytes | None]:
    """The frames decoded, with None in the place of one that cannot be."""
    try:
        return list[bytes | None](stuffing.decode_frames(frames))
    except BROKEN:
        return [_or_none(frame, stuffing.decode) for frame in frames]


def _or_none(frame: bytes, decode: Callable[[bytes], bytes]) -> bytes | None:
    try:
        return decode(frame)
    except BROKEN:
        return None

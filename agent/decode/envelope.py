"""The envelope of a record: byte stuffing and a checksum, taken off a frame and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from agent.decode.pieces import BoolArray, Pieces
from agent.decode.schema import Profile
from agent.decode.seal import open_each, seal
from agent.decode.stuffing import BROKEN, STUFFINGS, Stuffing

# Why a frame gave no sample, by its index among the frames; the reasons are names of counters.
Rejected = dict[int, str]
_Open = Callable[[Pieces], tuple[Pieces, BoolArray]]


class Envelope:
    """Opens frames into records; frames that begin with a sync word or a length come opened from their framer."""

    def __init__(self, profile: Profile) -> None:
        kind = profile.framing.kind
        self._steps: list[tuple[_Open, str]] = []
        if kind in STUFFINGS:
            self._steps.append((_unstuffer(STUFFINGS[kind]), "decode_errors"))
        if profile.checksum and kind not in ("sync", "length"):
            self._steps.append((seal(profile.checksum).open_all, "checksum_errors"))

    def open(self, frames: Sequence[bytes]) -> tuple[Sequence[bytes], Rejected]:
        """The records of the frames that are whole, in order, and why each of the others is not."""
        rejected: Rejected = {}
        if not self._steps:
            return frames, rejected
        records, left = Pieces.of(frames), np.arange(len(frames))
        for open_all, reason in self._steps:
            records, good = open_all(records)
            if np.count_nonzero(good) < len(good):
                rejected.update(dict.fromkeys(left[~good].tolist(), reason))
                records, left = records.only(good), left[good]
        return records, rejected


def _unstuffer(stuffing: Stuffing) -> _Open:
    def one(frame: bytes) -> bytes | None:
        try:
            return stuffing.decode(frame)
        except BROKEN:
            return None

    def unstuff(frames: Pieces) -> tuple[Pieces, BoolArray]:
        try:
            return stuffing.decode_frames(frames), np.ones(len(frames), dtype=bool)
        except BROKEN:
            return open_each(frames, one)

    return unstuff

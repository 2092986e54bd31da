"""The envelope of a record: COBS stuffing and a checksum, taken off a frame and checked."""

from __future__ import annotations

from cobs import cobs

from agent.decode.checksum import Checksum, checksum
from agent.decode.schema import Profile

# Why a frame gave no sample, by its index among the frames; the reasons are names of counters.
Rejected = dict[int, str]


class Envelope:
    """Opens frames into records."""

    def __init__(self, profile: Profile) -> None:
        self._cobs = profile.framing.kind == "cobs"
        self._checksum = checksum(profile.checksum) if profile.checksum else None

    def open(self, frames: list[bytes]) -> tuple[list[bytes], Rejected]:
        """The records of the frames that are whole, in order, and why each of the others is not."""
        rejected: Rejected = {}
        records = _unstuffed(frames, rejected) if self._cobs else frames
        if self._checksum is not None:
            records = _verified(records, self._checksum, rejected)
        if rejected:
            records = [record for index, record in enumerate(records) if index not in rejected]
        return records, rejected


def _unstuffed(frames: list[bytes], rejected: Rejected) -> list[bytes]:
    """The frames COBS-decoded, with an empty record in the place of one that cannot be."""
    decode = cobs.decode
    try:
        return [decode(frame) for frame in frames]
    except cobs.DecodeError:
        pass  # some frame is broken: look at each
    records = []
    for index, frame in enumerate(frames):
        try:
            records.append(decode(frame))
        except cobs.DecodeError:
            records.append(b"")
            rejected[index] = "decode_errors"
    return records


def _verified(records: list[bytes], rule: Checksum, rejected: Rejected) -> list[bytes]:
    """The records without their checksums; one that is wrong goes into `rejected`."""
    crc, width, endian = rule.crc, rule.width, rule.endian
    bodies = [record[:-width] for record in records]
    for index, body in enumerate(bodies):
        if crc(body) != int.from_bytes(records[index][-width:], endian):
            rejected.setdefault(index, "checksum_errors")
    return bodies

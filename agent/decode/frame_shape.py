"""The shape of a frame that begins with a sync word or a length: where its length stands, what it counts, how long it can be."""

from __future__ import annotations

from dataclasses import dataclass

from agent.decode.checksum import CATALOGUE
from agent.decode.layout import Layout
from agent.decode.schema import Endian, Profile


@dataclass(frozen=True, slots=True)
class FrameShape:
    """Offsets from the first byte of the frame; `size` = value of the length field + `adds`.

    Where `shortest` and `longest` are equal, so are all frames, and `start` holds every byte that is known beforehand at
    their beginning: the sync word, or the length itself.
    """

    start: bytes
    length_at: int
    length_width: int  # zero: there is no length field
    length_endian: Endian
    adds: int
    shortest: int
    longest: int
    record_at: int  # sync word and length prefix before it are no part of the record, a length behind the sync word is

    @property
    def header_bytes(self) -> int:
        """How much of a frame tells its size."""
        return max(len(self.start), self.length_at + self.length_width)

    @property
    def uniform(self) -> bool:
        """Whether `start` alone says that a frame may begin, and all frames are `longest`."""
        return self.shortest == self.longest and len(self.start) == self.header_bytes

    def size(self, stream: bytes, at: int) -> int:
        """How long the frame that begins at `at` says it is; its header must be there."""
        field = stream[at + self.length_at : at + self.length_at + self.length_width]
        return int.from_bytes(field, self.length_endian) + self.adds

    def possible(self, size: int) -> bool:
        """Whether a frame can be as long as that."""
        return self.shortest <= size <= self.longest

    def length_field(self, size: int) -> bytes:
        """The length field of a frame of `size` bytes."""
        return (size - self.adds).to_bytes(self.length_width, self.length_endian)


def frame_shape(profile: Profile) -> FrameShape:
    """The shape of the frames of a checked profile whose framing is sync or length."""
    framing = profile.framing
    sync = bytes.fromhex(framing.sync)
    tail = _tail_bytes(profile)
    length = framing.length
    if length is None:
        size = len(sync) + _record_bytes(profile) + tail
        return FrameShape(sync, 0, 0, "little", size, size, size, len(sync))
    length_at = len(sync) + length.offset
    header = length_at + length.width
    adds = {"payload": header + tail, "payload+checksum": header, "frame": 0}[length.counts]
    record_at = len(sync) if sync else header
    shape = FrameShape(
        sync, length_at, length.width, length.endian, adds, header + 1 + tail, framing.max_frame_bytes, record_at
    )
    if profile.binary is None or profile.match:
        return shape
    size = record_at + _record_bytes(profile) + tail
    start = sync if length.offset else sync + shape.length_field(size)
    return FrameShape(start, length_at, length.width, length.endian, adds, size, size, record_at)


def _tail_bytes(profile: Profile) -> int:
    """The bytes of the checksum behind the record."""
    rule = profile.checksum
    return 0 if rule is None or rule.every_bytes else CATALOGUE[rule.name][1]


def _record_bytes(profile: Profile) -> int:
    """The bytes of a binary record on the wire, with the checksums between them."""
    assert profile.binary is not None, "a checked profile has a binary record where its size must be known"
    size, rule = Layout(profile.binary).size, profile.checksum
    return size if rule is None or not rule.every_bytes else size + size // rule.every_bytes * CATALOGUE[rule.name][1]

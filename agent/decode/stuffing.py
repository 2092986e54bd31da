"""Byte stuffing: records made free of the byte that ends a frame, and back; COBS, and SLIP of RFC 1055."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from cobs import cobs

from agent.errors import DecodeError

SLIP_END = b"\xc0"
_ESC, _ESC_END, _ESC_ESC = b"\xdb", b"\xdb\xdc", b"\xdb\xdd"

COBS_END = b"\0"


def encode_slip(record: bytes) -> bytes:
    """RFC 1055, without the END bytes around it."""
    return record.replace(_ESC, _ESC_ESC).replace(SLIP_END, _ESC_END)


def decode_slip(frame: bytes) -> bytes:
    """The inverse; raises DecodeError where an escape is followed by what cannot follow it."""
    if _ESC not in frame:
        return frame
    record = frame.replace(_ESC_END, SLIP_END).replace(_ESC_ESC, _ESC)
    if len(frame) - len(record) != frame.count(_ESC):  # every good escape makes one byte of two
        raise DecodeError("a SLIP escape byte is followed by neither 0xDC nor 0xDD")
    return record


def decode_slip_frames(frames: Sequence[bytes]) -> list[bytes]:
    """`decode_slip` of each, with the escapes of all of them replaced at once; raises DecodeError where any frame is broken."""
    stuffed = np.frombuffer(b"".join(frames), np.uint8)
    escapes = np.flatnonzero(stuffed == _ESC[0])
    lengths = np.fromiter(map(len, frames), np.int64, len(frames))
    ends = np.cumsum(lengths)
    owners = np.searchsorted(ends, escapes, side="right")
    if (escapes + 1 == ends[owners]).any():
        raise DecodeError("a SLIP frame ends in the middle of an escape")
    codes = stuffed[escapes + 1]
    is_end = codes == _ESC_END[1]
    if not (is_end | (codes == _ESC_ESC[1])).all():
        raise DecodeError("a SLIP escape byte is followed by neither 0xDC nor 0xDD")
    plain = stuffed.copy()
    plain[escapes + 1] = np.where(is_end, SLIP_END[0], _ESC[0])
    whole = np.delete(plain, escapes).tobytes()
    sizes = lengths - np.bincount(owners, minlength=len(frames))
    return [whole[start:end] for start, end in pairwise(accumulate(sizes.tolist(), initial=0))]


def _decode_cobs_frames(frames: Sequence[bytes]) -> list[bytes]:
    decode = cobs.decode
    return [decode(frame) for frame in frames]


# What a decoder raises for a frame that cannot be one of its kind.
BROKEN = (cobs.DecodeError, DecodeError)


@dataclass(frozen=True, slots=True)
class Stuffing:
    """One way of stuffing: a record to a frame and back, many frames back at once, and the byte that ends a frame."""

    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], bytes]
    decode_frames: Callable[[Sequence[bytes]], list[bytes]]
    end: bytes


# By the kind of framing.
STUFFINGS = {
    "cobs": Stuffing(cobs.encode, cobs.decode, _decode_cobs_frames, COBS_END),
    "slip": Stuffing(encode_slip, decode_slip, decode_slip_frames, SLIP_END),
}

"""Byte stuffing: records made free of the byte that ends a frame, and back; COBS, and SLIP of RFC 1055."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from cobs import cobs

from agent.decode.pieces import Pieces
from agent.errors import DecodeError

SLIP_END = b"\xc0"
_ESC, _ESC_END, _ESC_ESC = b"\xdb", b"\xdb\xdc", b"\xdb\xdd"

COBS_END = b"\0"
_FULL = 255  # the code of 254 bytes that no zero follows
# To follow one more code of all frames costs as much as to decode so many of them: few frames, or long ones full of zeros, are not worth it.
_FRAMES_A_STEP = 16
_MANY_FRAMES = 256


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


def decode_slip_frames(frames: Pieces) -> Pieces:
    """`decode_slip` of each, with the escapes of all of them replaced at once; raises DecodeError where any frame is broken."""
    octets, ends = frames.octets, frames.ends
    escapes = np.flatnonzero(octets == _ESC[0])
    if len(escapes) == 0:
        return frames
    if int(escapes[-1]) + 1 == len(octets) or np.count_nonzero(octets[ends - 1] == _ESC[0]):
        raise DecodeError("a SLIP frame ends in the middle of an escape")
    codes = octets[escapes + 1]
    if np.count_nonzero((codes != _ESC_END[1]) & (codes != _ESC_ESC[1])):
        raise DecodeError("a SLIP escape byte is followed by neither 0xDC nor 0xDD")
    plain = octets.copy()
    plain[escapes + 1] = np.where(codes == _ESC_END[1], SLIP_END[0], _ESC[0])
    unescaped = np.ones(len(octets), dtype=bool)
    unescaped[escapes] = False
    # Every escape before a place has made one byte of two.
    starts = frames.starts - np.searchsorted(escapes, frames.starts)
    return Pieces(plain[unescaped].tobytes(), starts, ends - np.searchsorted(escapes, ends))


def decode_cobs_frames(frames: Pieces) -> Pieces:
    """`cobs.decode` of each that is not empty, by following the codes of all of them at once; raises its DecodeError where any frame is broken.

    A frame too short for a full code keeps all but its first byte, and its other codes become the zeros that they stand for.
    """
    if len(frames) < _MANY_FRAMES or int(frames.sizes.max()) > _FULL:
        return Pieces.of([cobs.decode(frame) for frame in frames])
    octets, plain = frames.octets, frames.octets.copy()
    places, ends = frames.starts, frames.ends
    for _ in range(len(frames) // _FRAMES_A_STEP):
        codes = octets[places]
        places = places + codes
        if np.count_nonzero((codes == 0) | (places > ends)):
            raise cobs.DecodeError("a COBS code is zero or points behind the end of its frame")
        inside = places < ends
        places, ends = places[inside], ends[inside]
        plain[places] = 0
        if len(places) == 0:
            return Pieces(plain.tobytes(), frames.starts + 1, frames.ends)
    return Pieces.of([cobs.decode(frame) for frame in frames])


# What a decoder raises for a frame that cannot be one of its kind.
BROKEN = (cobs.DecodeError, DecodeError)


@dataclass(frozen=True, slots=True)
class Stuffing:
    """One way of stuffing: a record to a frame and back, many frames back at once, and the byte that ends a frame."""

    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], bytes]
    decode_frames: Callable[[Pieces], Pieces]
    end: bytes


# By the kind of framing.
STUFFINGS = {
    "cobs": Stuffing(cobs.encode, cobs.decode, decode_cobs_frames, COBS_END),
    "slip": Stuffing(encode_slip, decode_slip, decode_slip_frames, SLIP_END),
}

"""The wire format of Protocol Buffers: tags and values, read and written flat; what they mean is up to the caller.

https://protobuf.dev/programming-guides/encoding. docs/adr tells why this is no library.
"""

from __future__ import annotations

from agent.errors import DecodeError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_MASK_64 = (1 << 64) - 1
_LONGEST_VARINT = 10


def tag(number: int, kind: int) -> int:
    """The tag of field `number` with a wire type; a field sent with another wire type is another tag, and so unknown."""
    return number << 3 | kind


def read(data: bytes) -> list[tuple[int, int | bytes]]:
    """Tags and values of one message, in order: an int (0 to 2**64 - 1) for a varint, bytes for all others.

    Raises DecodeError where `data` is no such message. Nested messages stay bytes, so that depth costs nothing.
    """
    found: list[tuple[int, int | bytes]] = []
    position, end = 0, len(data)
    while position < end:
        key, position = _varint(data, position)
        kind = key & 7
        if key >> 3 == 0:
            raise DecodeError("a protobuf field has the number 0")
        if kind == VARINT:
            number, position = _varint(data, position)
            found.append((key, number))
            continue
        if kind == BYTES:
            size, position = _varint(data, position)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise DecodeError(f"protobuf wire type {kind}")
        stop = position + size
        if stop > end:
            raise DecodeError(f"a protobuf field ends {stop - end} bytes behind its message")
        found.append((key, data[position:stop]))
        position = stop
    return found


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at `position`, and where it ends."""
    value = 0
    for index, byte in enumerate(data[position : position + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & _MASK_64, position + index + 1
    raise DecodeError("a protobuf number does not end")


def write(key: int, value: int | bytes) -> bytes:
    """One field: a varint for an int, else the bytes, with their length where the tag's wire type has one."""
    if isinstance(value, int):
        return _number(key) + _number(value & _MASK_64)
    return _number(key) + (_number(len(value)) if key & 7 == BYTES else b"") + value


def _number(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)

"""Checksum algorithms by name: CRCs as the RevEng catalogue calls them, and the sums that small sensors use."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import xor

import numpy as np
from fastcrc import crc8, crc16, crc32

Algorithm = Callable[[bytes], int]

# A long frame, which noise makes of any line, costs 11 microseconds a kilobyte byte by byte, 1 as an array; a short one less than making the array.
_WORTH_AN_ARRAY = 80


def _sum8(data: bytes) -> int:
    return sum(data) & 0xFF


def _sum8_twos_complement(data: bytes) -> int:
    """What makes the sum of all bytes, this one included, zero."""
    return -sum(data) & 0xFF


def _sum16(data: bytes) -> int:
    return sum(data) & 0xFFFF


def _xor8(data: bytes) -> int:
    if len(data) < _WORTH_AN_ARRAY:
        return reduce(xor, data, 0)
    return int(np.bitwise_xor.reduce(np.frombuffer(data, np.uint8)))


SUMS: dict[str, tuple[Algorithm, int]] = {
    "sum8": (_sum8, 1),
    "sum8-twos-complement": (_sum8_twos_complement, 1),
    "sum16": (_sum16, 2),
    "xor8": (_xor8, 1),
}

# Name: algorithm and width in bytes. CRCs as in reveng.sourceforge.io/crc-catalogue: crc16-modbus is its CRC-16/MODBUS.
CATALOGUE: dict[str, tuple[Algorithm, int]] = SUMS | {
    f"crc{8 * width}-{name.replace('_', '-')}": (getattr(module, name), width)
    for module, width in ((crc8, 1), (crc16, 2), (crc32, 4))
    for name in sorted(module.algorithms_available)
}

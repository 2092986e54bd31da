"""CRCs by their catalogue name, over a record and in the byte order in which the firmware appends them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fastcrc import crc8, crc16, crc32

from agent.decode.schema import ChecksumRule

Crc = Callable[[bytes], int]

# Named as in the RevEng catalogue (reveng.sourceforge.io/crc-catalogue): crc16-modbus is its CRC-16/MODBUS.
CATALOGUE: dict[str, tuple[Crc, int]] = {
    f"crc{8 * width}-{name.replace('_', '-')}": (getattr(module, name), width)
    for module, width in ((crc8, 1), (crc16, 2), (crc32, 4))
    for name in sorted(module.algorithms_available)
}


@dataclass(frozen=True, slots=True)
class Checksum:
    """A CRC function, its width in bytes and its byte order on the wire."""

    crc: Crc
    width: int
    endian: Literal["little", "big"]

    def append(self, record: bytes) -> bytes:
        """`record` with its checksum behind it."""
        return record + self.crc(record).to_bytes(self.width, self.endian)


def checksum(rule: ChecksumRule) -> Checksum:
    """The checksum that a checked profile names."""
    crc, width = CATALOGUE[rule.name]
    return Checksum(crc, width, rule.endian)

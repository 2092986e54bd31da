"""Checksums of many short records of one size: column by column, with a table for each place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.decode.checksum import SUMS, Algorithm
from agent.decode.pieces import Octets

# A record by itself costs about as much as this many bytes in a long column, and a column as much as this many records.
_SHORT_BYTES = 64
_ROWS_A_BYTE = 32
_ADDED = tuple(algorithm for name, (algorithm, _) in SUMS.items() if name.startswith("sum"))


class ChecksumRows:
    """A CRC is affine: it is that of all zeros, XOR what each byte by itself changes in it, which depends on its place and value alone."""

    def __init__(self, algorithm: Algorithm) -> None:
        self._algorithm = algorithm
        self._is_affine = algorithm not in _ADDED  # a sum carries from bit to bit
        self._size = -1
        self._of_zeros = 0
        self._changes: npt.NDArray[np.uint32] = np.empty((0, 256), np.uint32)

    def pays(self, rows: int, size: int) -> bool:
        """Whether `of` is faster than a record after another."""
        return self._is_affine and size <= _SHORT_BYTES and rows >= _ROWS_A_BYTE * size

    def of(self, rows: Octets) -> npt.NDArray[np.uint32]:
        """The checksum of each row of uint8 [n, size], uint32 [n]."""
        if rows.shape[1] != self._size:
            self._learn(rows.shape[1])
        found = np.full(len(rows), self._of_zeros, dtype=np.uint32)
        for changes, column in zip(self._changes, np.ascontiguousarray(rows.T), strict=True):
            found ^= changes.take(column)
        return found

    def _learn(self, size: int) -> None:
        self._size, self._of_zeros = size, self._algorithm(bytes(size))
        alone = [[bytes(at) + bytes([octet]) + bytes(size - at - 1) for octet in range(256)] for at in range(size)]
        changes = [[self._algorithm(record) for record in records] for records in alone]
        self._changes = np.array(changes, dtype=np.uint32).reshape(size, 256) ^ np.uint32(self._of_zeros)

"""Pieces: byte strings that lie one after another in one buffer, so that work on all of them takes no step for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from agent.types import Int64Array

Octets = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]


class Pieces(Sequence[bytes]):
    """`data[starts[i]:ends[i]]` for each i; starts and ends are int64 [n], and between pieces may lie what belongs to none."""

    __slots__ = ("data", "ends", "starts")

    def __init__(self, data: bytes, starts: Int64Array, ends: Int64Array) -> None:
        self.data = data
        self.starts = starts
        self.ends = ends

    @classmethod
    def of(cls, strings: Sequence[bytes]) -> Pieces:
        """The strings copied into one buffer with a byte between them, or themselves where they lie in one."""
        if isinstance(strings, Pieces):
            return strings
        lengths = sizes(strings)
        ends = np.cumsum(lengths + 1) - 1
        return cls(b"\n".join(strings), ends - lengths, ends)

    @property
    def octets(self) -> Octets:
        """The whole buffer, uint8 [bytes]."""
        return np.frombuffer(self.data, dtype=np.uint8)

    @property
    def sizes(self) -> Int64Array:
        """The length of each, int64 [n]."""
        return self.ends - self.starts

    def within(self, head: int, tail: int) -> Pieces:
        """Each without its first `head` and its last `tail` bytes, of which it must have so many."""
        return Pieces(self.data, self.starts + head, self.ends - tail)

    def only(self, kept: BoolArray | Int64Array | slice) -> Pieces:
        """Some of them: `kept` is bool [n], indices or a slice."""
        return Pieces(self.data, self.starts[kept], self.ends[kept])

    def table(self) -> Octets | None:
        """All of them as the rows of uint8 [n, size]; None where they are of several sizes or empty, or there are none."""
        sizes = self.sizes
        if len(sizes) == 0 or sizes[0] == 0 or np.count_nonzero(sizes != sizes[0]):
            return None
        size = int(sizes[0])
        # Whatever begins at any place of the buffer, as one item: those that are wanted are copied whole.
        anywhere = np.ndarray(len(self.data) - size + 1, dtype=f"V{size}", buffer=self.data, strides=1)
        return anywhere[self.starts].view(np.uint8).reshape(-1, size)

    def joined(self, separator: bytes) -> bytes:
        """All of them with this one byte between them, and perhaps spaces."""
        gaps = self.starts[1:] - self.ends[:-1]
        if len(gaps) == 0 or np.count_nonzero(gaps != gaps[0]) or gaps[0] == 0:
            return separator.join(self)
        first = int(self.starts[0])
        text = self.octets[first : int(self.ends[-1])].copy()
        places = self.ends[:-1] - first
        text[places] = separator[0]
        for offset in range(1, int(gaps[0])):
            text[places + offset] = ord(" ")
        return text.tobytes()

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[bytes]:
        data = self.data
        return iter([data[start:end] for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True)])

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Pieces: ...
    def __getitem__(self, index: int | slice) -> bytes | Pieces:
        if isinstance(index, slice):
            return self.only(index)
        return self.data[int(self.starts[index]) : int(self.ends[index])]


def sizes(strings: Sequence[bytes]) -> Int64Array:
    """The length of each, int64 [n]."""
    if isinstance(strings, Pieces):
        return strings.sizes
    return np.fromiter(map(len, strings), dtype=np.int64, count=len(strings))

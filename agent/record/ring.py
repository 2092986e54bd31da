"""The ring on disk: segment files of bounded size and number; where a new one would not fit, the oldest go first."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path

from agent.errors import RecordError

SUFFIX = ".strec"
_LARGEST_SEGMENT_BYTES = 16 * 1024 * 1024
_SEGMENTS_IN_RING = 8
# Every start of the agent begins a segment: restarts in a loop must not fill the folder with tiny ones.
_MOST_FILES = 1_024
_GATHER_BYTES = 64 * 1024
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def segments(folder: Path) -> list[tuple[int, Path]]:
    """The segments in `folder` with their numbers, oldest first; raises RecordError where it cannot be read."""
    try:
        return sorted((int(path.stem), path) for path in folder.glob(f"*{SUFFIX}") if path.stem.isdecimal())
    except OSError as error:
        raise RecordError(f"cannot read the recording in {folder}: {error.strerror}") from error


def _privately(path: str, flags: int) -> int:
    """The plant's raw data is its owner's alone, whatever the umask."""
    return os.open(path, flags, 0o600)


class Ring:
    """Appends records to the newest segment; `opening` gives the first record of the segment with a number.

    Segments of earlier runs are kept and never written again, so that a tail torn by a power cut stays where it is. The
    files take `max_bytes` at most.
    """

    def __init__(self, folder: Path, max_bytes: int, opening: Callable[[int], bytes]) -> None:
        self.folder = folder
        self.segment_bytes = min(max_bytes // _SEGMENTS_IN_RING, _LARGEST_SEGMENT_BYTES)
        self._max_bytes = max_bytes
        self._opening = opening
        self._file: io.FileIO | None = None
        self._size = 0  # of the newest segment, with what waits
        self._waiting = bytearray()

    def append(self, record: bytes) -> None:
        """Add a record, which reaches the disk by `flush` at the latest; raises RecordError."""
        if self._file is None or self._size + len(record) > self.segment_bytes:
            self.flush()
            self._begin()
        self._waiting += record
        self._size += len(record)
        if len(self._waiting) > _GATHER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits; raises RecordError, after which what waited is lost and the next record begins a segment."""
        if self._file is None:
            return
        try:
            rest = memoryview(bytes(self._waiting))
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.close()
            raise self._failed(error) from error
        self._waiting.clear()

    def close(self) -> None:
        """Close the segment without writing what waits."""
        self._waiting.clear()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None

    def _begin(self) -> None:
        self.close()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            known = segments(self.folder)
            self._make_room(known)
            number = known[-1][0] + 1 if known else 0
            self._file = io.FileIO(self.folder / f"{number:012d}{SUFFIX}", "x", opener=_privately)
        except OSError as error:
            raise self._failed(error) from error
        opening = self._opening(number)
        self._waiting += opening
        self._size = len(opening)

    def _make_room(self, known: list[tuple[int, Path]]) -> None:
        sizes = [path.stat().st_size for _, path in known]
        total, count = sum(sizes), len(known)
        for (_, path), size in zip(known, sizes, strict=True):
            if total + self.segment_bytes <= self._max_bytes and count < _MOST_FILES:
                return
            path.unlink()
            total, count = total - size, count - 1

    def _failed(self, error: OSError) -> RecordError:
        """On a full disk the oldest segment makes room, so that the recording goes on with the newest."""
        if error.errno in _NO_SPACE:
            with contextlib.suppress(OSError, RecordError):
                if len(known := segments(self.folder)) > 1:
                    known[0][1].unlink()
        return RecordError(f"cannot record in {self.folder}: {error.strerror}")

"""A recording read back: the steps that the pipeline took, in order, with what is missing counted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.errors import RecordError
from agent.metrics import Counters
from agent.record.format import VERSION, Dropped, Opening, Taken, records
from agent.record.ring import segments
from agent.types import Chunk


@dataclass(frozen=True, slots=True)
class Step:
    """The chunks that the pipeline took at once; in another session it had been started anew."""

    session: str
    chunks: tuple[Chunk, ...]


class Recording:
    """The recording in a folder; raises RecordError where there is none.

    counters: those of `format.records`, segments, segments_missing (in between, or gone while reading), dropped_chunks and
    dropped_bytes (never recorded).
    """

    def __init__(self, folder: Path) -> None:
        self._segments = segments(folder)
        if not self._segments:
            raise RecordError(f"there is no recording in {folder}: no file ends in .strec")
        self.counters = Counters()
        self.size_bytes = sum(path.stat().st_size for _, path in self._segments)
        self.read_bytes = 0

    def steps(self) -> Iterator[Step]:
        """Every step, oldest first; raises RecordError where a newer version of Stethos made the recording."""
        for (session, _), taken in itertools.groupby(self._taken(), key=lambda entry: (entry[0], entry[1].step)):
            yield Step(session, tuple(entry.chunk for _, entry in taken))

    def _taken(self) -> Iterator[tuple[str, Taken]]:
        session = ""
        for data in self._data():
            for record in records(data, self.counters):
                if isinstance(record, Taken):
                    yield session, record
                elif isinstance(record, Dropped):
                    self.counters.add("dropped_chunks", record.chunks)
                    self.counters.add("dropped_bytes", record.bytes)
                else:
                    session = _session(record)

    def _data(self) -> Iterator[bytes]:
        """The content of each segment; one that the ring has taken away meanwhile is missing."""
        first = self._segments[0][0]
        self.counters.add("segments_missing", self._segments[-1][0] - first + 1 - len(self._segments))
        for _, path in self._segments:
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                self.counters.add("segments_missing")
                continue
            except OSError as error:
                raise RecordError(f"cannot read {path}: {error.strerror}") from error
            self.counters.add("segments")
            self.read_bytes += len(data)
            yield data


def _session(opening: Opening) -> str:
    if opening.version > VERSION:
        raise RecordError(f"the recording was made by Stethos {opening.agent_version}, which is newer than this one")
    return opening.session

"""Recordings made by hand: steps of chunks into a folder, and back out of it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from agent.record.reading import Recording, Step
from agent.record.recorder import Recorder
from agent.types import Chunk

MAX_BYTES = 16 * 1024 * 1024


def write(folder: Path, steps: Sequence[Sequence[Chunk]], max_bytes: int = MAX_BYTES) -> Recorder:
    """One session of the recorder, run to its end in this thread."""
    recorder = Recorder(folder, max_bytes)
    stop = threading.Event()
    stop.set()
    for chunks in steps:
        recorder.put(chunks)
        if recorder.balance().held > max_bytes // 16:
            recorder.run(stop)
    recorder.run(stop)
    return recorder


def read(folder: Path) -> list[Step]:
    """Every step that can be read."""
    return list(Recording(folder).steps())


def files(folder: Path) -> list[Path]:
    """The segments, oldest first."""
    return sorted(folder.glob("*.strec"))

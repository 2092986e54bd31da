"""Listening to a port for a while without saying anything to it."""

from __future__ import annotations

from collections.abc import Callable

from agent.clock import Clock
from agent.config.checked import SerialPlace
from agent.sources.serial_line import SerialLine
from agent.types import NANOSECONDS, Chunk

# Whatever a port sends, more than this tells nothing new.
MAX_BYTES = 1024 * 1024
_SLICE_S = 0.1


def listen(
    path: str, place: SerialPlace, seconds: float, clock: Clock, progress: Callable[[float], None]
) -> list[Chunk]:
    """What arrives at `path` within `seconds` by the settings of `place`, 1 MiB at most; raises LinkError.

    `progress` is told the seconds that went by.
    """
    chunks: list[Chunk] = []
    held_bytes = 0
    with SerialLine(path, place) as line:
        begun_ns = clock.monotonic_ns()
        while (gone_s := (clock.monotonic_ns() - begun_ns) / NANOSECONDS) < seconds and held_bytes < MAX_BYTES:
            progress(gone_s)
            if data := line.read(_SLICE_S):
                chunks.append(Chunk(path, data, clock.now_ns()))
                held_bytes += len(data)
    return chunks

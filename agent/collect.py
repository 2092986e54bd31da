"""Collect: the sources and the recorder alone, before there is a model to run; what comes is counted by device."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.assembly import sources_of
from agent.clock import Clock
from agent.config.partial import Devices
from agent.pipeline_thread import BUFFER_BYTES, TAKE_S
from agent.record.recorder import Recorder
from agent.sources.buffer import ChunkBuffer
from agent.supervise import Supervisor
from agent.types import NANOSECONDS, Chunk

_STOP_READERS_S = 2.0
_WRITE_OUT_S = 5.0


@dataclass(slots=True)
class Collected:
    """What has come so far, in bytes by device, what became of it, and why a device or the disk fails."""

    elapsed_s: float = 0.0
    bytes: Counter[str] = field(default_factory=Counter)
    written_bytes: int = 0
    dropped_bytes: int = 0
    errors: dict[str, str] = field(default_factory=dict)  # by device, and "disk"


def collect(
    found: Devices,
    folder: Path,
    max_bytes: int,
    *,
    stop: threading.Event,
    clock: Clock,
    show: Callable[[Collected], None],
    seconds: float | None = None,
    taken: Callable[[Sequence[Chunk]], None] | None = None,
) -> Collected:
    """Record until `stop` is set or `seconds` are over, showing the state about four times a second; returns the last state.

    `taken` is given what was recorded.
    """
    buffer, recorder, supervisor = ChunkBuffer(BUFFER_BYTES), Recorder(folder, max_bytes), Supervisor(clock)
    # Another client id than the daemon's, which the broker would else throw out.
    source_of, sources = sources_of(f"{found.agent}-record", found.devices, buffer, clock)
    state, started_ns = Collected(), clock.monotonic_ns()

    def pass_on(timeout_s: float) -> None:
        if chunks := buffer.take(timeout_s):
            recorder.put(chunks)
            if taken is not None:
                taken(chunks)
            for chunk in chunks:
                state.bytes[chunk.device] += len(chunk.data)

    supervisor.start("record", recorder.run)
    for source in sources:
        supervisor.start(source.name, source.run)
    while not stop.is_set() and (seconds is None or state.elapsed_s < seconds):
        pass_on(TAKE_S)
        state.elapsed_s = (clock.monotonic_ns() - started_ns) / NANOSECONDS
        failing = {device: source for device, source in source_of.items() if not source.status.is_open}
        state.errors = {device: source.status.error or "not open yet" for device, source in failing.items()}
        _account(state, recorder, buffer)
        show(state)
    supervisor.stop([source.name for source in sources], _STOP_READERS_S)
    while buffer.held_bytes:
        pass_on(0)
    buffer.close()
    supervisor.stop(["record"], _WRITE_OUT_S)
    _account(state, recorder, buffer)
    return state


def _account(state: Collected, recorder: Recorder, buffer: ChunkBuffer) -> None:
    balance = recorder.balance()
    state.written_bytes = balance.left
    state.dropped_bytes = balance.dropped + buffer.balance().dropped
    if recorder.error is not None:
        state.errors["disk"] = recorder.error

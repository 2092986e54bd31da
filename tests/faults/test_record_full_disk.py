"""A recording on a disk that is really full: nothing waits for it, and what was lost is counted and told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.record.reading import Recording
from agent.record.recorder import Recorder
from agent.types import Chunk
from tests.harness.broker import wait_until
from tests.harness.recordings import files, write
from tests.harness.small_disk import small_disk
from tests.harness.threads import at_work


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 4) as folder:
        yield folder


def steps(first: int, count: int) -> list[tuple[Chunk, ...]]:
    return [(Chunk("accel", bytes(10_000), first + number),) for number in range(count)]


def test_a_full_disk_stops_nobody_and_recording_goes_on_where_there_is_room_again(disk: Path) -> None:
    log = disk / "runaway.log"
    log.write_bytes(bytes(4 * 1024 * 1024 - 64 * 1024))
    recorder = Recorder(disk / "record", 16 * 1024 * 1024)
    with at_work(recorder.run):
        started = time.monotonic()
        for chunks in steps(0, 100):
            recorder.put(chunks)
        assert time.monotonic() - started < 1.0, "the pipeline does not wait for the disk"
        wait_until(lambda: recorder.error is not None, 30.0, "the failure shown")
        assert "No space left" in str(recorder.error)
        log.unlink()
        for chunks in steps(100, 20):
            recorder.put(chunks)
        wait_until(lambda: recorder.error is None and not recorder.balance().held, 30, "recording again")
    assert recorder.balance().missing == 0
    recording = Recording(disk / "record")
    read = [step.chunks[0].arrived_ns for step in recording.steps()]
    assert read[-20:] == list(range(100, 120))
    assert recording.counters["dropped_bytes"] == recorder.balance().dropped > 0


def test_a_ring_larger_than_its_disk_keeps_the_newest(disk: Path) -> None:
    folder = disk / "record"
    for number in range(0, 1_000, 50):
        write(folder, steps(number, 50), 64 * 1024 * 1024)
    read = [step.chunks[0].arrived_ns for step in Recording(folder).steps()]
    assert read[-1] > 900
    assert len(files(folder)) > 1

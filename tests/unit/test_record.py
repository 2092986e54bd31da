"""A recording: what goes in comes out; damage costs what it touched; the ring keeps its bound and its newest."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest

from agent.errors import RecordError
from agent.metrics import Counters
from agent.record import recorder as recorder_module
from agent.record.format import VERSION, Opening, Taken, encode, framed, records
from agent.record.reading import Recording
from agent.record.recorder import Recorder
from agent.types import Chunk
from tests.harness.recordings import files, read, write

STEPS = [
    (Chunk("accel", b"\x00\xff" * 40, 1_000), Chunk("drive", b'{"a": 0}', 2_000, "plant/drive")),
    (Chunk("accel", b"", 3_000),),
    (Chunk("drive", b"x" * 3_000, 4_000, "plant/drive"),),
]
CHUNKS = [chunk for step in STEPS for chunk in step]


def test_steps_come_back_as_the_pipeline_took_them(tmp_path: Path) -> None:
    recorder = write(tmp_path, STEPS)
    assert [step.chunks for step in read(tmp_path)] == STEPS
    assert recorder.balance().as_dict() == {"in": 3_088, "out": 3_088, "held": 0, "dropped": 0}


def test_each_run_of_the_recorder_is_a_session_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, STEPS)
    write(tmp_path, STEPS[:1])
    sessions = [(len(list(steps))) for _, steps in itertools.groupby(read(tmp_path), key=lambda step: step.session)]
    assert sessions == [3, 1]


def test_a_torn_tail_costs_the_torn_record_and_the_next_run_goes_on_behind_it(tmp_path: Path) -> None:
    write(tmp_path, STEPS)
    segment = files(tmp_path)[0]
    segment.write_bytes(segment.read_bytes()[:-100])
    write(tmp_path, STEPS)
    recording = Recording(tmp_path)
    assert [step.chunks for step in recording.steps()] == [*STEPS[:2], *STEPS]
    assert recording.counters["damaged"] == 1
    assert recording.counters["damaged_bytes"] > 2_000


def test_any_flipped_bit_costs_one_record_and_no_other(tmp_path: Path) -> None:
    whole = encode(Opening(VERSION, "s", 0, "0")) + b"".join(encode(Taken(n, chunk)) for n, chunk in enumerate(CHUNKS))
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        counters = Counters()
        found = list(records(bytes(damaged), counters))
        assert len(found) == len(CHUNKS), f"byte {position}"
        assert counters["damaged"] == 1


def test_every_cut_of_a_segment_gives_a_beginning_of_its_records() -> None:
    encoded = [encode(Taken(n, chunk)) for n, chunk in enumerate(CHUNKS)]
    whole = b"".join(encoded)
    ends = list(itertools.accumulate(map(len, encoded)))
    for cut in range(len(whole)):
        counters = Counters()
        found = list(records(whole[:cut], counters))
        assert len(found) == sum(end <= cut for end in ends)
        torn = cut - max((end for end in ends if end <= cut), default=0)
        assert counters["damaged_bytes"] == torn


def test_a_segment_that_is_gone_is_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    for step in STEPS:
        write(tmp_path, [step])
    files(tmp_path)[1].unlink()
    recording = Recording(tmp_path)
    assert [step.chunks for step in recording.steps()] == [STEPS[0], STEPS[2]]
    assert recording.counters["segments_missing"] == 1


def test_the_ring_keeps_its_bound_and_the_newest(tmp_path: Path) -> None:
    max_bytes = 256 * 1024
    steps = [(Chunk("accel", bytes([n % 256]) * 1_000, n),) for n in range(2_000)]
    for number in range(0, len(steps), 50):
        write(tmp_path, steps[number : number + 50], max_bytes)
        assert sum(path.stat().st_size for path in files(tmp_path)) <= max_bytes
    kept = [step.chunks for step in read(tmp_path)]
    assert kept == steps[-len(kept) :]
    assert len(kept) * 1_000 > max_bytes / 2


def test_a_field_that_a_chunk_gained_later_is_a_default_in_an_older_recording() -> None:
    older = framed(msgspec.msgpack.encode([1, 7, {"device": "accel", "data": b"1", "arrived_ns": 5}]))
    assert list(records(older, Counters())) == [Taken(7, Chunk("accel", b"1", 5))]


def test_records_of_a_kind_that_only_a_newer_version_knows_are_counted_and_passed_over() -> None:
    known, strange, counters = encode(Taken(0, CHUNKS[0])), framed(msgspec.msgpack.encode([99, "x"])), Counters()
    assert list(records(known + strange + known, counters)) == [Taken(0, CHUNKS[0])] * 2
    assert (counters["unknown"], counters["damaged"]) == (1, 0)


def test_a_recording_of_a_newer_format_is_refused_with_its_version(tmp_path: Path) -> None:
    (tmp_path / "000000000000.strec").write_bytes(encode(Opening(VERSION + 1, "s", 0, "9.9.9")))
    with pytest.raises(RecordError, match=r"9\.9\.9"):
        read(tmp_path)


def test_a_folder_without_a_recording_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no recording"):
        Recording(tmp_path)


def test_a_full_queue_drops_whole_steps_counts_them_and_says_so_in_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "QUEUE_BYTES", 100)
    steps = [(Chunk("a", bytes(40), n), Chunk("b", bytes(20), n)) for n in range(4)]
    recorder = write(tmp_path, steps)
    recording = Recording(tmp_path)
    assert [step.chunks for step in recording.steps()] == steps[:1]
    assert (recording.counters["dropped_chunks"], recording.counters["dropped_bytes"]) == (6, 180)
    assert recorder.balance().as_dict() == {"in": 240, "out": 60, "held": 0, "dropped": 180}


def test_a_chunk_too_long_for_a_segment_is_dropped_alone(tmp_path: Path) -> None:
    recorder = write(tmp_path, [(Chunk("a", bytes(2_000_000), 1), CHUNKS[0])])
    assert [step.chunks for step in read(tmp_path)] == [(CHUNKS[0],)]
    assert recorder.balance().dropped == 2_000_000
    assert recorder.error is None


def test_a_folder_that_cannot_be_written_is_an_error_to_show_and_no_exception(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    recorder = write(tmp_path / "file" / "folder", STEPS)
    assert recorder.error is not None
    assert "cannot record in" in recorder.error
    assert recorder.balance().missing == 0
    assert recorder.balance().dropped == 3_088


def test_putting_never_waits_for_the_writer(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 16 * 1024 * 1024)  # nobody runs it
    for number in range(200):
        recorder.put([Chunk("a", bytes(100_000), number)])
    assert recorder.balance().held <= recorder_module.QUEUE_BYTES
    assert recorder.balance().missing == 0
    assert "too slow" in (recorder.error or "")


def test_empty_chunks_fill_the_queue_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "QUEUE_CHUNKS", 3)
    steps = [(Chunk("a", b"", n), Chunk("b", b"", n)) for n in range(3)]
    recorder = write(tmp_path, steps)
    assert [step.chunks for step in read(tmp_path)] == steps[:1]
    recorder.put(steps[2])
    recorder.put(steps[2][:1])
    assert recorder.error is None, "what was written is no longer held"

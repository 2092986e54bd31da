"""The host's line: it never steps, and what the wall clock calls a moment follows every step from that moment on."""

import numpy as np
import pytest

from agent.clock import FakeClock
from agent.decode.timebase_host import HostTime
from agent.types import Chunk, TimeQuality, Window
from tests.harness.streams import batch

SECOND = 1_000_000_000


def chunk(clock, device="d"):
    return Chunk(device, b"", clock.now_ns(), monotonic_ns=clock.monotonic_ns())


def arrivals(parts):
    return [[each.arrived_ns for each in part] for part in parts]


def test_without_a_step_chunks_pass_as_they_are():
    clock, host = FakeClock(), HostTime()
    chunks = []
    for _ in range(3):
        clock.advance(SECOND)
        chunks.append(chunk(clock))
    [part] = host.on_line(chunks)
    assert all(after is before for after, before in zip(part, chunks, strict=True))
    assert (host.steps, host.lead_ns) == (0, 0)


@pytest.mark.parametrize("step_s", [3 * 3_600, -3 * 3_600, 0.5])
def test_a_step_moves_no_arrival_and_parts_the_chunks(step_s):
    clock, host = FakeClock(), HostTime()
    start_ns, chunks = clock.now_ns(), []
    for index in range(6):
        if index == 4:
            clock.step(round(step_s * SECOND))
        chunks.append(chunk(clock))
        clock.advance(SECOND)
    leads, parts = [], []
    for part in host.on_line(chunks):
        leads.append(host.lead_ns)
        parts.append(part)
    assert arrivals(parts) == [[start_ns + i * SECOND for i in range(4)], [start_ns + i * SECOND for i in (4, 5)]]
    assert leads == [0, round(step_s * SECOND)]
    assert host.steps == 1


def test_a_reader_that_was_held_up_between_the_two_clocks_is_no_step():
    clock, host = FakeClock(), HostTime()
    first = chunk(clock)
    held_up = Chunk("d", b"", clock.now_ns() + SECOND + 20_000_000, monotonic_ns=SECOND)
    [part] = host.on_line([first, held_up])
    assert part[1].arrived_ns == clock.now_ns() + SECOND
    assert host.steps == 0


def test_small_steps_add_up_until_they_count():
    clock, host = FakeClock(), HostTime()
    for _ in range(10):
        list(host.on_line([chunk(clock)]))
        clock.step(30_000_000)
        clock.advance(SECOND)
    assert host.steps == 2
    assert abs(host.lead_ns - 270_000_000) <= 100_000_000


def test_windows_are_called_by_the_clock_as_it_was_set_at_their_end():
    clock, host = FakeClock(), HostTime()
    start_ns = clock.now_ns()
    for step_s in (0, 3_600, -60):
        clock.advance(10 * SECOND)
        clock.step(step_s * SECOND)
        list(host.on_line([chunk(clock)]))
    ends = [start_ns + seconds * SECOND for seconds in (15, 20, 25, 35)]
    windows = [Window("m", end - SECOND, end, np.empty((1, 1), np.float32), None, TimeQuality.COUNTER) for end in ends]
    named = [host.utc_window(window) for window in windows]
    assert [(window.end_ns - end) // SECOND for window, end in zip(named, ends, strict=True)] == [0, 0, 3_600, 3_540]
    assert {window.end_ns - window.start_ns for window in named} == {SECOND}


def test_only_stamps_of_another_clock_are_moved():
    clock, host = FakeClock(), HostTime()
    list(host.on_line([chunk(clock)]))
    clock.step(5 * SECOND)
    list(host.on_line([chunk(clock)]))
    counted, stamped = (
        batch([100], [[1]], time_quality=quality) for quality in (TimeQuality.COUNTER, TimeQuality.DEVICE)
    )
    assert host.line_batch(counted) is counted
    assert host.utc_batch(stamped) is stamped
    assert host.utc_batch(counted).t_ns.tolist() == [100 + 5 * SECOND]
    assert host.line_batch(stamped).t_ns.tolist() == [100 - 5 * SECOND]


def test_a_recording_without_monotonic_times_is_taken_as_it_is():
    chunks = [Chunk("d", b"", 10 * SECOND), Chunk("d", b"", 3 * SECOND)]
    assert list(HostTime().on_line(chunks)) == [chunks]

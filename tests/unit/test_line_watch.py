"""Bursts of broken frames and clocks that slip are told from single mishaps, and forgotten when they are over."""

from __future__ import annotations

from agent.metrics import Counters
from agent.sensors.faults import Fault
from agent.sensors.line import LineWatch
from agent.types import NANOSECONDS

TENTH_NS = NANOSECONDS // 10


class Line:
    """A line that is looked at ten times a second, with ten frames each time."""

    def __init__(self, max_drift_ppm: float | None = None) -> None:
        self.watch = LineWatch(max_drift_ppm)
        self.counters = Counters()
        self.now_ns = 0

    def run(self, seconds: float, broken: int = 0, drift_ppm: float | None = None) -> tuple[Fault, ...]:
        """`broken` of the ten frames in each tenth of a second are."""
        for _ in range(round(seconds * 10)):
            self.now_ns += TENTH_NS
            self.counters.add("frames", 10)
            self.counters.add("checksum_errors", broken)
            self.watch.look(self.counters, drift_ppm, self.now_ns)
        return self.watch.faults()


def test_one_broken_frame_in_a_hundred_is_no_burst() -> None:
    line = Line()
    for _ in range(20):
        assert line.run(0.9) == line.run(0.1, broken=1) == ()


def test_a_burst_shows_within_two_seconds_and_is_over_ten_after_its_end() -> None:
    line = Line()
    line.run(60)
    assert line.run(2, broken=1) == (Fault.BROKEN_FRAMES,)
    assert line.run(9) == (Fault.BROKEN_FRAMES,)
    assert line.run(3) == ()
    assert line.watch.changes == 2


def test_a_slow_device_is_judged_by_frames() -> None:
    watch, counters = LineWatch(None), Counters()
    for frame in range(40):
        counters.add("frames")
        counters.add("decode_errors", frame % 4 == 0)
        watch.look(counters, None, frame * 180 * NANOSECONDS)
        assert watch.faults() == (() if frame < 19 else (Fault.BROKEN_FRAMES,))


def test_one_restart_is_no_slip_and_three_within_ten_minutes_are() -> None:
    line = Line()
    line.run(10)
    line.counters.add("resets")
    assert line.run(10) == ()
    line.counters.add("reanchored", 2)
    assert line.run(1) == (Fault.CLOCK_SLIP,)
    assert line.run(601) == ()
    assert line.watch.changes == 2


def test_drift_beyond_the_profiles_bound_is_a_slip_and_without_one_none_is() -> None:
    assert Line(None).run(1, drift_ppm=50_000.0) == ()
    line = Line(200.0)
    assert line.run(1, drift_ppm=-150.0) == ()
    assert line.run(1, drift_ppm=-201.0) == (Fault.CLOCK_SLIP,)
    assert line.run(1, drift_ppm=-190.0) == (Fault.CLOCK_SLIP,), "a little less does not clear it"
    assert line.run(1, drift_ppm=-100.0) == ()


def test_a_host_clock_set_back_keeps_no_burst_standing() -> None:
    line = Line()
    line.run(5, broken=1)
    line.now_ns -= 86_400 * NANOSECONDS
    assert line.run(13) == ()

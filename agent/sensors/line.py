"""The watch over one device's line and clock: bursts of broken frames, and a time base that does not hold."""

from __future__ import annotations

from collections import deque

from agent.metrics import Counters
from agent.sensors.faults import Fault
from agent.types import NANOSECONDS

# Frames are judged by the second, and at least so many together.
_FEWEST_FRAMES = 20
_WINDOW_NS = NANOSECONDS
_BAD_SHARE, _GOOD_SHARE = 0.05, 0.01
_BROKEN = ("checksum_errors", "decode_errors", "overlong")
# A device that starts anew once, or a line that once held its bytes back, is no slipping clock.
_SLIPS = ("reanchored", "resets", "time_errors")
_SLIP_COUNT = 3
_SLIP_NS = 600 * NANOSECONDS
_OFF_NS = 10 * NANOSECONDS


class LineWatch:
    """Judges a decoder's counters. It flags no value: of a broken frame there is none, and times that slip leave gaps on the grid."""

    def __init__(self, max_drift_ppm: float | None) -> None:
        """Without `max_drift_ppm` any steady rate is the clock's right."""
        self._max_drift_ppm = max_drift_ppm
        self._frames = self._broken = 0  # at the beginning of the open window
        self._arrived_ns: int | None = None
        self._now_ns = self._since_ns = 0  # of a clock that only goes on, and at the beginning of the open window
        self._bad_ns = 0  # end of the latest bad window
        self._noisy = False
        self._slipped = 0
        self._slips: deque[int] = deque(maxlen=_SLIP_COUNT)
        self._slipping = False
        self._drifts = False
        self.changes = 0

    def look(self, counters: Counters, drift_ppm: float | None, arrived_ns: int) -> None:
        """Take in the decoder's counters as they are with bytes that came at `arrived_ns`; drift None where it is not known."""
        self._now_ns += 0 if self._arrived_ns is None else max(0, arrived_ns - self._arrived_ns)
        self._arrived_ns = arrived_ns
        before = self.faults()
        self._judge_frames(counters["frames"], sum(counters[name] for name in _BROKEN))
        self._judge_slips(sum(counters[name] for name in _SLIPS))
        if drift_ppm is not None and self._max_drift_ppm is not None:
            self._drifts = abs(drift_ppm) > self._max_drift_ppm * (0.9 if self._drifts else 1.0)
        self.changes += len(set(before) ^ set(self.faults()))

    def faults(self) -> tuple[Fault, ...]:
        """Those that stand."""
        noisy = (Fault.BROKEN_FRAMES,) if self._noisy else ()
        return (*noisy, Fault.CLOCK_SLIP) if self._slipping or self._drifts else noisy

    def _judge_frames(self, frames: int, broken: int) -> None:
        now_ns = self._now_ns
        count = frames - self._frames
        if count < _FEWEST_FRAMES or now_ns - self._since_ns < _WINDOW_NS:
            return
        share = (broken - self._broken) / count
        self._frames, self._broken, self._since_ns = frames, broken, now_ns
        if share > _BAD_SHARE:
            self._noisy, self._bad_ns = True, now_ns
        elif share > _GOOD_SHARE:
            self._bad_ns = now_ns
        elif now_ns - self._bad_ns >= _OFF_NS:
            self._noisy = False

    def _judge_slips(self, slipped: int) -> None:
        self._slips.extend([self._now_ns] * min(slipped - self._slipped, _SLIP_COUNT))
        self._slipped = slipped
        recent = [at_ns for at_ns in self._slips if self._now_ns - at_ns < _SLIP_NS]
        if len(recent) == _SLIP_COUNT:
            self._slipping = True
        elif not recent:
            self._slipping = False

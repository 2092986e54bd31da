"""A simulated sensor node: a real pseudo-terminal whose far end is the serial port that the daemon opens."""

from __future__ import annotations

import os
import select
import time
import tty
from collections.abc import Iterable, Iterator
from typing import Self

from agent.errors import LinkError

_STUCK_AFTER_S = 10.0


class SimulatedDevice:
    """A context manager; `port` is the path to configure as the device's serial port."""

    def __init__(self) -> None:
        self._far, self._near = os.openpty()
        # Raw, or the line discipline would echo frames back and turn bytes into signals and line ends.
        tty.setraw(self._near)
        os.set_blocking(self._far, False)
        self.port = os.ttyname(self._near)

    def send(self, frames: Iterable[bytes], frames_per_s: float) -> Iterator[int]:
        """Write the frames at an even pace, yielding how many have gone; raises LinkError when nobody reads the port."""
        started = time.monotonic()
        for count, frame in enumerate(frames, start=1):
            self._write(frame)
            yield count
            time.sleep(max(0.0, started + count / frames_per_s - time.monotonic()))

    def _write(self, data: bytes) -> None:
        while data:
            _, writable, _ = select.select([], [self._far], [], _STUCK_AFTER_S)
            if not writable:
                raise LinkError(f"nobody read {self.port} for {_STUCK_AFTER_S:g} s")
            data = data[os.write(self._far, data) :]

    def close(self) -> None:
        """Unplug: the daemon sees the port vanish."""
        # Held open until now, because a terminal without any near end gives its far end an I/O error.
        os.close(self._near)
        os.close(self._far)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

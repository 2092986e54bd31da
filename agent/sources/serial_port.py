"""A serial port read in chunks; a port that is gone is an error and reopened for ever, a port that is silent is not."""

from __future__ import annotations

import termios
import threading
import time
from contextlib import closing

import serial

from agent.clock import Clock
from agent.config.checked import SerialPlace
from agent.errors import LinkError
from agent.sources.buffer import ChunkBuffer
from agent.sources.link import LinkStatus, keep_open
from agent.types import Chunk

_PARITY = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}
# How soon a stop is seen on a silent port.
_READ_TIMEOUT_S = 0.5
_REOPEN_CAP_S = 2.0
_READ_BYTES = 64 * 1024
# The kernel holds 4 KiB for us: at 4 Mbaud a pause of 5 ms lets 2 KiB gather. A line that already has 1 KiB waiting is
# faster than that, and is read on at once.
_GATHER_S = 0.005
_GATHER_BELOW_BYTES = 1024


class SerialSource:
    """The serial port of one device."""

    def __init__(self, device: str, place: SerialPlace, buffer: ChunkBuffer, clock: Clock) -> None:
        self.name = f"serial {place.port}"
        self.status = LinkStatus()
        self._device = device
        self._place = place
        self._buffer = buffer
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Read until `stop` is set."""
        keep_open(self.name, self.status, lambda: self._session(stop), stop, _REOPEN_CAP_S)

    def _session(self, stop: threading.Event) -> None:
        with closing(_open(self._place)) as port:
            self.status.up()
            while not stop.is_set():
                if data := _read(port):
                    self.status.last_arrival_ns[self._device] = self._clock.monotonic_ns()
                    self._buffer.put(Chunk(self._device, data, self._clock.now_ns()))


def _open(place: SerialPlace) -> serial.Serial:
    try:
        return serial.Serial(
            place.port,
            place.baud,
            parity=_PARITY[place.parity],
            stopbits=place.stop_bits,
            timeout=_READ_TIMEOUT_S,
            exclusive=True,
        )
    except (OSError, ValueError, termios.error) as error:
        raise LinkError(f"cannot open {place.port}: {error}") from error


def _read(port: serial.Serial) -> bytes:
    """What has arrived, or nothing where the port was silent for the timeout; raises LinkError where the port is gone."""
    try:
        data: bytes = port.read(max(1, min(port.in_waiting, _READ_BYTES)))
        if data and len(data) < _GATHER_BELOW_BYTES:
            time.sleep(_GATHER_S)
            data += port.read(min(port.in_waiting, _READ_BYTES))
    except (OSError, TypeError, termios.error) as error:
        # After an unplug pyserial raises SerialException at first, then plain OSError, and TypeError on a closed port.
        raise LinkError(f"{port.port} is gone: {error}") from error
    return data

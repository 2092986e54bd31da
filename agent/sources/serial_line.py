"""An open serial line: bytes read in few wake-ups, written whole, and a line that is gone told from one that is silent."""

from __future__ import annotations

import os
import select
import termios
import time
from typing import Self

import serial
from serial.rs485 import RS485Settings

from agent.config.checked import SerialPlace
from agent.errors import LinkError

_PARITY = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}
_BITS_A_BYTE = 10
_WRITE_TIMEOUT_S = 2.0
_READ_BYTES = 64 * 1024
# The kernel holds 4 KiB for us. Of a line that streams we let this much gather before we wake up for it, ...
_GATHER_BYTES = 1024
# ... but wait no longer than this: the moment of the read is the arrival time of the bytes.
_GATHER_S = 0.01
# Shorter pauses are none. Until they are worth it again, a line must send little several times in a row.
_LEAST_PAUSE_S = 100e-6
_PAUSE_GROWTH, _PAUSE_STEP_S = 1.25, 10e-6


class SerialLine:
    """Opened at once; raises LinkError where that cannot be, and from every method once the port is gone."""

    def __init__(self, path: str, place: SerialPlace, *, streams: bool = True) -> None:
        """Where not `streams`, the device speaks when it is asked, and nothing more is waited for once it did."""
        self._path = path
        try:
            self._port = serial.Serial(
                path,
                place.baud,
                parity=_PARITY[place.parity],
                stopbits=place.stop_bits,
                timeout=0,
                write_timeout=_WRITE_TIMEOUT_S,
                exclusive=True,
            )
        except (OSError, ValueError, termios.error) as error:
            raise LinkError(f"cannot open {path}: {error}") from error
        try:
            if place.rs485:
                self._port.rs485_mode = RS485Settings()
        except (OSError, ValueError) as error:
            self._port.close()
            raise LinkError(f"{path} has no RS-485 mode: {error}") from error
        self._descriptor: int = self._port.fileno()
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        self._longest_pause_s = min(_GATHER_S, _GATHER_BYTES * _BITS_A_BYTE / place.baud) if streams else 0.0
        self._pause_s = self._longest_pause_s
        self._spoke = False

    def read(self, timeout_s: float) -> bytes:
        """What has arrived; nothing where the line was silent for timeout_s.

        A line that spoke is given the time to say more, though no longer than it takes to send 1 KiB.
        """
        if self._spoke and self._pause_s >= _LEAST_PAUSE_S:
            time.sleep(self._pause_s)
        data = self._take()
        if not data:
            data = self._wait(timeout_s)
        self._spoke = len(data) > 0
        self._adapt_pause(len(data))
        return data

    def write(self, data: bytes) -> None:
        """Send all of `data` within two seconds."""
        try:
            self._port.write(data)
        except OSError as error:
            raise LinkError(f"cannot write to {self._path}: {error}") from error

    def close(self) -> None:
        """Let go of the port."""
        self._port.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _adapt_pause(self, size: int) -> None:
        """By what the last one brought: the baud rate of a USB device may mean nothing, and it sends as fast as it is read."""
        if size > _GATHER_BYTES:
            self._pause_s *= _GATHER_BYTES / size
        elif size:
            self._pause_s = min(self._longest_pause_s, self._pause_s * _PAUSE_GROWTH + _PAUSE_STEP_S)

    def _wait(self, timeout_s: float) -> bytes:
        if not self._poll.poll(timeout_s * 1_000):
            return b""
        data = self._take()
        if not data:  # what an unplugged port does: it is ready, and has nothing
            raise self._gone("it is ready to be read and has nothing")
        return data

    def _take(self) -> bytes:
        try:
            return os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._gone(error) from error

    def _gone(self, error: object) -> LinkError:
        return LinkError(f"{self._path} is gone: {error}")

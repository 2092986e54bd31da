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
        self._gather_s = min(_GATHER_S, _GATHER_BYTES * _BITS_A_BYTE / place.baud) if streams else 0.0
        self._streams = False

    def read(self, timeout_s: float) -> bytes:
        """What has arrived; nothing where the line was silent for timeout_s.

        A line that sent little at the last read is given the time to send more; one that sent much is read on at once.
        """
        if self._streams and self._gather_s > 0:
            time.sleep(self._gather_s)
        data = self._take()
        if not data:
            data = self._wait(timeout_s)
        self._streams = 0 < len(data) < _GATHER_BYTES
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

"""A serial device made of a pseudo-terminal behind a stable path, that can be unplugged, plugged in again, and go silent."""

from __future__ import annotations

import fcntl
import os
import select
import sys
import termios
import threading
import time
import tty
from pathlib import Path
from typing import Self

from tests.harness.broker import PATIENCE_S


class PtyDevice:
    """What a USB serial adapter is to its reader: `path` is a link that comes and goes with the device."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._device: int | None = None
        self._port: int | None = None

    def plug(self) -> None:
        """Appear at `path`."""
        assert self._device is None, "it is plugged in already"
        self._device, self._port = os.openpty()
        tty.setraw(self._port)
        os.set_blocking(self._device, False)
        self.path.symlink_to(os.ttyname(self._port))

    def unplug(self) -> None:
        """Vanish: an open port of it errs from now on, and `path` is gone."""
        assert self._device is not None, "it is not plugged in"
        assert self._port is not None
        self.path.unlink()
        os.close(self._device)
        os.close(self._port)
        self._device = self._port = None

    def write(self, data: bytes, timeout_s: float = PATIENCE_S, stop: threading.Event | None = None) -> None:
        """Send `data`, waiting where the reader is slower, unless `stop` is set; raises TimeoutError where nobody reads for so long."""
        assert self._device is not None, "it is not plugged in"
        deadline = time.monotonic() + timeout_s
        while data and not (stop is not None and stop.is_set()):
            if select.select([], [self._device], [], 0.1)[1]:
                data = data[os.write(self._device, data[:1024]) :]
                deadline = time.monotonic() + timeout_s
            elif time.monotonic() > deadline:
                raise TimeoutError(f"nobody read the last {len(data)} bytes")

    def is_read(self) -> bool:
        """Whether the reader has taken everything."""
        assert self._port is not None, "it is not plugged in"
        return not int.from_bytes(fcntl.ioctl(self._port, termios.FIONREAD, bytes(4)), sys.byteorder)

    def read(self, timeout_s: float) -> bytes:
        """What was sent to the device; nothing where nothing came in time."""
        assert self._device is not None, "it is not plugged in"
        if not select.select([self._device], [], [], timeout_s)[0]:
            return b""
        return os.read(self._device, 4096)

    @property
    def tty(self) -> str:
        """What `path` leads to, as the system would list it."""
        assert self._port is not None, "it is not plugged in"
        return os.ttyname(self._port)

    def __enter__(self) -> Self:
        self.plug()
        return self

    def __exit__(self, *_: object) -> None:
        if self._device is not None:
            self.unplug()

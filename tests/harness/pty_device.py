"""A serial device made of a pseudo-terminal behind a stable path, that can be unplugged, plugged in again, and go silent."""

from __future__ import annotations

import os
import select
import time
import tty
from pathlib import Path
from typing import Self


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

    def write(self, data: bytes, timeout_s: float = 5.0) -> None:
        """Send `data`, waiting where the reader is slower; raises TimeoutError where nobody reads."""
        assert self._device is not None, "it is not plugged in"
        deadline = time.monotonic() + timeout_s
        while data:
            if not select.select([], [self._device], [], max(0.0, deadline - time.monotonic()))[1]:
                raise TimeoutError(f"nobody read the last {len(data)} bytes")
            data = data[os.write(self._device, data[:1024]) :]

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

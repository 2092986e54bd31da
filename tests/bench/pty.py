"""A pseudo-terminal as a serial port, and a sender that floods it: what the benchmarks of serial input share."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tty
from collections.abc import Iterator
from pathlib import Path

_BLOCK_BYTES = 4_096  # as much as the kernel holds for a port


@contextlib.contextmanager
def port() -> Iterator[tuple[int, str]]:
    """The device's end of a fresh pseudo-terminal, and the path of its port."""
    device, host = os.openpty()
    tty.setraw(host)
    try:
        yield device, os.ttyname(host)
    finally:
        os.close(device)
        os.close(host)


def send(device: int, flood: Path) -> subprocess.Popen[bytes]:
    """In a process of its own, as fast as the port takes it; it ends with the file."""
    command = ["socat", "-u", f"-b{_BLOCK_BYTES}", f"FILE:{flood}", f"FD:{device}"]
    return subprocess.Popen(command, pass_fds=[device])

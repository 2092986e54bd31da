"""The real daemon as a process of its own: started as systemd would, listened to, ended by SIGTERM."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from agent.errors import StethosError

_POLL_S = 0.1
_GENTLE_S = 5.0
_TAIL_LINES = 15


class Daemon:
    """`stethos run CONFIG` with its log in a file; leaving the context ends it, gently if that works."""

    def __init__(self, config: Path, log: Path) -> None:
        self._config = config
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # An abstract address has no file to clean away and no folder whose name is too long.
        self._address = f"stethos-demo-{os.getpid()}"
        self._notify.bind(f"\0{self._address}")
        self._notify.settimeout(_POLL_S)
        self._status = ""

    def start(self, timeout_s: float) -> float:
        """Seconds from start to READY=1; raises StethosError with the end of the log when it does not come."""
        started = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agent.cli.main", "run", str(self._config)],
                env={**os.environ, "NOTIFY_SOCKET": f"@{self._address}"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        while "READY=1" not in self._hear():
            self._check_alive()
            if time.monotonic() > started + timeout_s:
                raise StethosError(f"the daemon was not ready within {timeout_s:g} s; {self._tail()}")
        self._notify.setblocking(False)
        return time.monotonic() - started

    def status(self) -> str:
        """What the daemon last said of itself; raises StethosError when it has died. To be called often, as systemd listens."""
        while self._hear():
            pass
        self._check_alive()
        return self._status

    def stop(self, timeout_s: float) -> int:
        """SIGTERM, then SIGKILL when time is up; the exit code, negative for a signal."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait(timeout_s)

    def _hear(self) -> list[str]:
        """The lines of one datagram, none when there is none."""
        try:
            lines = self._notify.recv(4096).decode(errors="replace").splitlines()
        except (TimeoutError, BlockingIOError):
            return []
        self._status = next(
            (line.removeprefix("STATUS=") for line in lines if line.startswith("STATUS=")), self._status
        )
        return lines

    def _check_alive(self) -> None:
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            raise StethosError(f"the daemon ended with exit code {code}; {self._tail()}")

    def _tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join([f"the end of {self._log}:", *lines])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop(_GENTLE_S)
        self._notify.close()

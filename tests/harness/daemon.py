"""The real daemon as its own process: started with a real file, waited for by READY=1, ended by a signal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.harness.command_line import STETHOS


class Daemon:
    """`stethos run FILE` in a child process; its log goes to a file beside the configuration."""

    def __init__(
        self,
        config: Path,
        ready_timeout_s: float = 60.0,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.config = config
        self.environment = environment or {}
        self.options = options
        self.under: Sequence[str] = ()  # a command that turns into the one behind it
        self.log_path = config.with_suffix(".log")
        self.ready_timeout_s = ready_timeout_s
        self.ready_after_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start and wait for READY=1, as systemd would."""
        notify_path = self.config.with_suffix(".notify")
        notify_path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, self.log_path.open("ab") as log:
            notify.bind(str(notify_path))
            started = time.monotonic()
            self._process = subprocess.Popen(
                [*self.under, *STETHOS, "run", str(self.config), *self.options],
                env={**os.environ, **self.environment, "NOTIFY_SOCKET": str(notify_path)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            self._wait_ready(notify, started + self.ready_timeout_s)
            self.ready_after_s = time.monotonic() - started

    def _wait_ready(self, notify: socket.socket, deadline: float) -> None:
        assert self._process is not None
        notify.settimeout(0.1)
        while time.monotonic() < deadline:
            try:
                if b"READY=1" in notify.recv(4096):
                    return
            except TimeoutError:
                if self._process.poll() is not None:
                    break
        raise AssertionError(f"the daemon was not ready (exit {self._process.poll()}):\n{self.log}")

    def terminate(self, timeout_s: float = 30.0) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL, as the power cut of a process."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        if self._process is not None:
            self._process.wait(30)

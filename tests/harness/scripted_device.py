"""A device on a pseudo-terminal that answers commands from a script, and streams between them if it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from tests.harness.broker import PATIENCE_S
from tests.harness.pty_device import PtyDevice

Answer = Callable[[], bytes]


class ScriptedDevice:
    """`script` gives for each command (a line, without its end) what is answered; others get no answer.

    `commands` are those it was sent. `stream()` is sent again and again while `streams` is set.
    """

    def __init__(self, path: Path, script: Mapping[bytes, Answer], stream: Answer = lambda: b"") -> None:
        self.port = PtyDevice(path)
        self.commands: list[bytes] = []
        self.streams = False
        self._script = script
        self._stream = stream
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="device")

    def __enter__(self) -> Self:
        self.port.plug()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self.port.unplug()

    def _run(self) -> None:
        received = b""
        while not self._stop.is_set():
            received += self.port.read(0.02)
            *lines, received = received.split(b"\n")
            for line in lines:
                self.commands.append(line.rstrip(b"\r"))
                if answer := self._script.get(line.rstrip(b"\r")):
                    self.port.write(answer(), stop=self._stop)
            if self.streams:
                self.port.write(self._stream(), stop=self._stop)

"""A wall clock that a test can set for one child process alone, by a small preloaded library; nobody else's clock moves."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.harness.broker import require

_SOURCE = Path(__file__).with_suffix(".c")


class ClockStep:
    """`environment` is for the process whose clock `set_off` moves; the library is built in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._offset = folder / "clock_step"
        library = folder / "clock_step.so"
        compiler = require("gcc", "gcc libc6-dev")
        command = [compiler, "-O1", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, _SOURCE, "-ldl"]
        subprocess.run(command, check=True, timeout=60)
        self._offset.write_bytes(bytes(8))
        self.environment: Mapping[str, str] = {"LD_PRELOAD": str(library), "CLOCK_STEP_FILE": str(self._offset)}

    def set_off(self, seconds: float) -> None:
        """From now on its wall clock is that far ahead of the true time."""
        with self._offset.open("r+b", buffering=0) as file:
            file.write(struct.pack("=q", round(seconds * 1e9)))

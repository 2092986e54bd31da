"""The host's clock steps for one process alone: a library that is loaded before it adds what a test says to the wall clock."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.harness.broker import require

_SOURCE = Path(__file__).with_suffix(".c")


class SteppedClock:
    """Monotonic time goes on as ever."""

    def __init__(self, folder: Path) -> None:
        self._library, self._file = folder / "stepped_clock.so", folder / "stepped_clock.bin"
        compiler = require("gcc", "gcc")
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", self._library, _SOURCE, "-ldl"], check=True, timeout=60
        )
        self._file.write_bytes(bytes(8))

    @property
    def environment(self) -> Mapping[str, str]:
        """Of the process whose clock it is."""
        return {"LD_PRELOAD": str(self._library), "STEPPED_CLOCK": str(self._file)}

    def step_to(self, seconds: int) -> None:
        """So far from the true time, from now on."""
        with self._file.open("r+b") as file:
            file.write(seconds.to_bytes(8, "little", signed=True))

    def told(self) -> float:
        """The time, as a process with such a clock tells it."""
        command = ["python3", "-c", "import time; print(time.time())"]
        done = subprocess.run(
            command, env=dict(self.environment), capture_output=True, text=True, check=True, timeout=60
        )
        return float(done.stdout)

    def is_stepped_by(self, seconds: int) -> bool:
        """Whether it works."""
        return abs(self.told() - time.time() - seconds) < 60

"""A process whose system calls fail where a test wants them to, by strace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.broker import require

_ROOT = Path(__file__).resolve().parents[2]


def run_with_failing(inject: str, paths: list[Path], module: str, *arguments: object, timeout_s: float = 200.0) -> str:
    """What `python -m module ARGUMENTS` printed while calls on `paths` failed as `inject` says: `fdatasync:error=EIO:when=3+4`.

    Skips the test where one process may not trace another.
    """
    strace = require("strace", "strace")
    if (
        denied := subprocess.run([strace, "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    ).returncode:
        pytest.skip(f"tracing a process is not permitted here: {denied.stderr.strip()}")
    call = inject.partition(":")[0]
    on = [argument for path in paths for argument in ("-P", str(path))]
    ended = subprocess.run(
        [strace, "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={inject}", *on,
         sys.executable, "-m", module, *map(str, arguments)],
        cwd=_ROOT, capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout

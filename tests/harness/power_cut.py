"""Processes that end at a chosen write to disk, by SIGKILL or by a power cut that takes back what no sync covered."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.harness.broker import require

_SOURCE = Path(__file__).with_suffix(".c")
_ROOT = _SOURCE.parents[2]
KILL, POWER_CUT = 0, 1


def run_with_cuts(module: str, folder: Path, *arguments: object, timeout_s: float) -> str:
    """What `python -m module ARGUMENTS` printed, run so that `cut_at` works in it; the library is built in `folder`."""
    library = folder / "power_cut.so"
    compiler = require("gcc", "gcc libc6-dev")
    subprocess.run(
        [compiler, "-O1", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, _SOURCE, "-ldl"], check=True
    )
    ended = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        env={**os.environ, "LD_PRELOAD": str(library)},
        cwd=_ROOT, capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def cut_at(call: int, mode: int, seed: int, body: Callable[[int], None]) -> list[str]:
    """What `body(report)` wrote line by line to the descriptor it is given, in a fork that ends at its change number `call`.

    The last line names that change, such as `pwrite`; it is `end` where `body` came to its end before.
    """
    receiver, report = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(receiver)
            ctypes.CDLL(None).cut_arm(ctypes.c_long(call), mode, ctypes.c_uint64(seed), report)
            body(report)
            os.write(report, b"end\n")
            status = 0
        finally:
            os._exit(status)
    os.close(report)
    with os.fdopen(receiver, "rb") as reports:
        lines = reports.read().decode().splitlines()
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or status == 0, f"the process failed by itself, after {lines}"
    return lines

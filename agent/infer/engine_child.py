"""The process that builds one engine: it yields to everything else on the box, and ends with the agent that started it.

`python -m agent.infer.engine_child REQUEST`, a `Request` in JSON; what it `Said` goes to standard output, a line of JSON each.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.errors import BundleError, ConfigError, InferenceError
from agent.infer import engine_rtx
from agent.infer.engine_key import EngineKey
from agent.infer.engine_options import ENGINE_FILE
from agent.infer.engine_ways import build_by_provider

_NICENESS = 10
_PR_SET_PDEATHSIG = 1
_STEP = 0.01


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Which engine to build of the ONNX behind the open file `model_fd`, for windows of (channels, time), into which folder."""

    key: EngineKey
    window: tuple[int, int]
    model_fd: int
    folder: str
    parent: int


class Progressed(msgspec.Struct, frozen=True, tag="progressed"):
    """The part that is done, 0 to 1."""

    part: float


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """There will be no engine, however often it is tried."""

    why: str


class Built(msgspec.Struct, frozen=True, tag="built"):
    """The folder holds the engine, and nothing else."""


Said = Progressed | Refused | Built


def main() -> int:
    """Build what is asked for; 0 where that, or why it cannot be, was said."""
    request = msgspec.json.decode(sys.argv[1], type=Request)
    _end_with(request.parent)
    _yield_to_others()
    say = _own_output()
    with os.fdopen(request.model_fd, "rb") as opened:
        model = opened.read()
    try:
        _build(request, model, say)
    except BundleError as error:
        say(Refused(str(error)))
    except (ConfigError, InferenceError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the agent puts it into its log
        return 1
    else:
        say(Built())
    return 0


def _build(request: Request, model: bytes, say: Callable[[Said], None]) -> None:
    key, folder = request.key, Path(request.folder)
    if key.way == "tensorrt":
        build_by_provider(model, key, request.window, folder)
        return
    told = 0.0

    def progress(part: float) -> None:
        nonlocal told
        if part >= told + _STEP:
            told = part
            say(Progressed(part))

    engine = engine_rtx.build(model, key.capability, max_batch=key.max_batch, progress=progress)
    (folder / ENGINE_FILE).write_bytes(engine)


def _end_with(parent: int) -> None:
    """The kernel kills this process when the thread that started it ends; it may have ended before it was asked to."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _yield_to_others() -> None:
    """As far as the sandbox around it allows: what it forbids is no reason to build nothing."""
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # short of memory, the kernel takes this process first


def _own_output() -> Callable[[Said], None]:
    """Standard output for what is said alone: libraries that print get standard error in its place."""
    output = os.dup(1)
    os.dup2(2, 1)
    return lambda said: _write(output, msgspec.json.encode(said) + b"\n")


def _write(output: int, line: bytes) -> None:
    while line:
        line = line[os.write(output, line) :]


if __name__ == "__main__":
    raise SystemExit(main())

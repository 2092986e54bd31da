"""Has an engine built by a child process, and bounds what that may take: time, memory, and words."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agent.clock import Clock, SystemClock
from agent.errors import UNREADABLE, BundleError, InferenceError
from agent.infer.engine_child import Built, Progressed, Refused, Request, Said
from agent.infer.engine_key import EngineKey
from agent.types import NANOSECONDS

_LOOK_S = 0.25
_END_S = 5.0
_READ_BYTES = 64 * 1024
_LONGEST_LINE, _LAST_LINES = 2000, 5


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """The engine of `key` is to be built of the ONNX in `model`, for windows of (channels, time)."""

    key: EngineKey
    model: bytes
    window: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one build may take before it is ended."""

    timeout_ns: int = 900 * NANOSECONDS
    memory_bytes: int = 4 * 1024 * 1024 * 1024  # resident


def build_engine(
    task: Task,
    folder: Path,
    stop: threading.Event,
    told: Callable[[float], None] = lambda _: None,
    *,
    limits: Limits = Limits(),
    clock: Clock | None = None,
) -> bool:
    """Build an engine into the empty `folder`; False where `stop` was set before it was done.

    `told` hears the part that is done, 0 to 1. Raises BundleError where there can be no engine, and InferenceError where this
    attempt failed: the child crashed, took too long or too much memory.
    """
    clock = clock or SystemClock()
    deadline_ns = clock.monotonic_ns() + limits.timeout_ns
    heard = _Heard(told)
    with _child(task, folder) as child:
        for data in _output(child):
            heard.feed(data)
            if stop.is_set():
                return False
            if clock.monotonic_ns() > deadline_ns:
                raise InferenceError(f"the engine was not built within {limits.timeout_ns / NANOSECONDS:g} s")
            if _resident_bytes(child.pid) > limits.memory_bytes:
                raise InferenceError(f"building the engine took more than {limits.memory_bytes // 2**20} MiB of memory")
        code = _code(child)
    if isinstance(heard.verdict, Refused):
        raise BundleError(heard.verdict.why)
    if code != 0 or heard.verdict is None:
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        raise InferenceError(f"the process that builds the engine ended {how}: {heard.last_words()}")
    return True


def _output(child: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """What it writes until it closes its output; now and then nothing, so that whoever listens can look elsewhere."""
    assert child.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(_LOOK_S):
                yield b""
            elif data := os.read(child.stdout.fileno(), _READ_BYTES):
                yield data
            else:
                return


class _Heard:
    """What the child says, line by line; whatever else its libraries print is kept for the case that it fails."""

    def __init__(self, told: Callable[[float], None]) -> None:
        self.verdict: Built | Refused | None = None
        self._told = told
        self._rest = b""
        self._others: deque[str] = deque(maxlen=_LAST_LINES)

    def feed(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-_READ_BYTES:]
        for line in lines:
            try:
                said = msgspec.json.decode(line, type=Said)
            except UNREADABLE:
                self._others.append(line.decode(errors="replace")[:_LONGEST_LINE].strip())
                continue
            if isinstance(said, Progressed):
                self._told(min(max(said.part, 0.0), 1.0))
            else:
                self.verdict = said

    def last_words(self) -> str:
        return " / ".join(line for line in self._others if line) or "it said nothing"


@contextmanager
def _child(task: Task, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The running child, which is gone when the `with` is left. The model goes over in memory: it may be one that no disk must see."""
    model_fd = os.memfd_create("model.onnx")
    try:
        with os.fdopen(model_fd, "wb", closefd=False) as opened:
            opened.write(task.model)
        os.lseek(model_fd, 0, os.SEEK_SET)
        request = Request(key=task.key, window=task.window, model_fd=model_fd, folder=str(folder), parent=os.getpid())
        child = subprocess.Popen(
            [sys.executable, "-m", "agent.infer.engine_child", msgspec.json.encode(request).decode()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[model_fd],
            start_new_session=True,  # ^C in a terminal is for the agent, which ends the child itself
        )
    except OSError as error:
        raise InferenceError(f"the process that builds the engine does not start: {error.strerror or error}") from error
    finally:
        os.close(model_fd)
    try:
        yield child
    finally:
        child.kill()
        child.wait(_END_S)
        assert child.stdout is not None
        child.stdout.close()


def _code(child: subprocess.Popen[bytes]) -> int:
    """Its exit code, once it has closed its output; one that does not end after that is ended."""
    try:
        return child.wait(_END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait(_END_S)


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):  # it has just ended
        return 0

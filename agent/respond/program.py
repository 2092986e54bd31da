"""A program run for an alarm: no shell, next to no environment, its group killed when its time is over, what it says bounded."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from agent.clock import Clock
from agent.config.programs import trusted_program
from agent.config.rights import UntrustedError
from agent.errors import ResponseError, ResponseTimeoutError
from agent.types import NANOSECONDS

_MOST_OUTPUT_BYTES = 4_096
_SLICE_S = 0.1
_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Program:
    """A file of the allow-listed folder and its fixed arguments."""

    folder: Path
    name: str
    arguments: tuple[str, ...]

    @property
    def words(self) -> str:
        """For the log."""
        return " ".join([self.name, *self.arguments])

    def run(self, alarm: bytes, timeout_s: float, clock: Clock, stop: threading.Event) -> str:
        """Start it with `alarm` (JSON) on its standard input; returns the last of what it said.

        Raises ResponseError where it is not to be trusted, cannot be started, or ends with another code than 0; ResponseTimeoutError where it
        is killed because `timeout_s` is over, or `stop` is set.
        """
        try:
            path = trusted_program(self.folder, self.name)
            process = subprocess.Popen(
                [path, *self.arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"PATH": _PATH, "LANG": "C.UTF-8"},
                start_new_session=True,
            )
        except UntrustedError as error:
            raise ResponseError(str(error)) from error
        except OSError as error:
            raise ResponseError(f"{self.folder / self.name} cannot be started: {error.strerror}") from error
        with process:
            try:
                output = _converse(process, alarm, clock.monotonic_ns() + round(timeout_s * NANOSECONDS), clock, stop)
            finally:
                _kill_group(process)
        said = output.decode(errors="replace").strip()
        if process.returncode != 0:
            raise ResponseError(f"{self.name} ended with {process.returncode}: {said[-200:] or 'it said nothing'}")
        return said


def _converse(
    process: subprocess.Popen[bytes], given: bytes, deadline_ns: int, clock: Clock, stop: threading.Event
) -> bytes:
    """Write `given`, gather the last of what comes, until the program has ended; raises ResponseTimeoutError."""
    assert process.stdin is not None
    assert process.stdout is not None
    os.set_blocking(process.stdin.fileno(), False)
    os.set_blocking(process.stdout.fileno(), False)
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdin, selectors.EVENT_WRITE)
        selector.register(process.stdout, selectors.EVENT_READ)
        while process.poll() is None:
            if stop.is_set():
                raise ResponseTimeoutError("the agent stops: it was killed")
            if clock.monotonic_ns() > deadline_ns:
                raise ResponseTimeoutError("it took too long: it was killed")
            if not selector.get_map():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_SLICE_S)
                continue
            for key, _ in selector.select(_SLICE_S):
                if key.fileobj is process.stdin:
                    given = _feed(selector, process.stdin.fileno(), given)
                    if not given:
                        process.stdin.close()
                else:
                    output = _gather(selector, process.stdout.fileno(), output)
        # What it said last lies in the pipe; whatever it left behind may hold that open for ever.
        return _gather(None, process.stdout.fileno(), output)


def _feed(selector: selectors.BaseSelector, descriptor: int, given: bytes) -> bytes:
    """What is left to write; nothing once the program has all of it, or wants no more."""
    try:
        given = given[os.write(descriptor, given) :]
    except BlockingIOError:
        return given
    except BrokenPipeError:
        given = b""
    if not given:
        selector.unregister(descriptor)
    return given


def _gather(selector: selectors.BaseSelector | None, descriptor: int, output: bytes) -> bytes:
    """`output` and what has come since, the last of both."""
    try:
        data = os.read(descriptor, 65_536)
    except BlockingIOError:
        return output
    if not data and selector is not None:
        selector.unregister(descriptor)
    return (output + data)[-_MOST_OUTPUT_BYTES:]


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """The program and whatever it started that has not left its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)

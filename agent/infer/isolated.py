"""A bundle's model in a process of its own: what crashes there is counted, begun again after a pause, and harms nothing here."""

from __future__ import annotations

import contextlib
import logging
import pickle
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from os import memfd_create
from typing import BinaryIO

import numpy as np

from agent.backoff import full_jitter_s
from agent.clock import Clock, SystemClock
from agent.errors import BundleError, DeadlineError, InferenceError
from agent.infer.bundle import Bundle
from agent.infer.canary import Latency, measure
from agent.infer.isolation import Done, Failed, Message, Ready, Refused, Run, SharedBatch, Stop, hear_answer, tell
from agent.infer.placement import Placement
from agent.infer.plan import cut
from agent.infer.scorer import check_shape
from agent.infer.settings import InferenceSettings
from agent.metrics import Counters
from agent.types import NANOSECONDS, Float32Array

log = logging.getLogger(__name__)

_START_NS = 180 * NANOSECONDS  # an engine may have to be read and proven first
_GRACE_NS = 2 * NANOSECONDS  # what stops at its deadline needs to come back from the node it is in
_LOOK_S = 0.05
_AFTER_KILL_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_SOUND_NS = 300 * NANOSECONDS  # a process that lived so long did not crash for the reason that the last one did


@dataclass(slots=True)
class _Overdue:
    """The run in progress, seen by the thread that enforces its deadline."""

    number: int
    started_ns: int
    stopped: bool = False
    killed: bool = False


class Isolated:
    """A `Loaded` whose model runs in a child process, for one thread that scores and another that enforces the deadline.

    While there is no child, `score` raises InferenceError at once: nobody waits for one to start but who loads the first.
    """

    def __init__(self, bundle: Bundle, settings: InferenceSettings, clock: Clock | None = None) -> None:
        """Start the child and wait until it has proven the model; raises as `load` does."""
        self._clock = clock or SystemClock()
        self._deadline_ns = settings.deadline_ns
        self._channels, self._time = len(bundle.manifest.contract.channels), bundle.manifest.contract.window
        self._job = pickle.dumps((bundle, settings))
        self._memory = SharedBatch(self._channels, self._time)
        self._counters = Counters()
        self._jitter = random.Random()  # noqa: S311 - no secret
        self._lock = threading.Lock()
        self._run: _Overdue | None = None
        self._runs = 0
        self._attempt = 0
        self._closed = False
        self._retry_ns = 0
        self.failure: str | None = None
        self._child: _Child | None = _Child(self._job, self._memory, self._clock)
        self._ready = self._first_answer(self._child)
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self.latency: Latency | None = measure(self.score, bundle.golden.windows[:1], self._clock)
            undo.pop_all()

    @property
    def provider(self) -> str:
        """See `Loaded.provider`."""
        return self._ready.provider

    @property
    def degraded(self) -> str | None:
        """See `Loaded.degraded`."""
        return self._ready.degraded

    @property
    def placement(self) -> Placement:
        """See `Loaded.placement`."""
        return self._ready.placement

    @property
    def variant(self) -> str:
        """See `Loaded.variant`."""
        return self._ready.variant

    @property
    def tuning(self) -> str:
        """See `Loaded.tuning`."""
        return self._ready.tuning

    @property
    def counters(self) -> Mapping[str, int]:
        """See `Loaded.counters`."""
        return self._counters.snapshot()

    @property
    def process_id(self) -> int | None:
        """Of the child, None while there is none."""
        return None if self._child is None else self._child.process.pid

    def score(self, windows: Float32Array) -> tuple[Float32Array, Float32Array]:
        """See `Scorer.score`; the deadline holds for each batch that the windows are split into."""
        check_shape(windows, self._channels, self._time)
        score = np.empty(len(windows), np.float32)
        channel_score = np.empty((len(windows), self._channels), np.float32)
        for part in cut(len(windows), self._ready.batch_sizes):
            score[part], channel_score[part] = self._score_batch(windows[part])
        return score, channel_score

    def enforce_deadline(self, now_ns: int) -> bool:
        """See `Scorer.enforce_deadline`; a child that does not stop within two seconds more is killed."""
        with self._lock:
            run, child = self._run, self._child
            if run is None or child is None or now_ns - run.started_ns <= self._deadline_ns:
                return False
            if not run.stopped:
                run.stopped = True
                child.stop(run.number)
            elif now_ns - run.started_ns > self._deadline_ns + _GRACE_NS and not run.killed:
                run.killed = True
                child.process.kill()
            return True

    def close(self) -> None:
        """See `Loaded.close`."""
        self._closed = True
        if self._child is not None:
            self._child.end()
            self._child = None

    def _first_answer(self, child: _Child) -> Ready:
        answer = None
        with contextlib.suppress(TimeoutError):
            answer = child.hear(_START_NS / NANOSECONDS)
        if isinstance(answer, Ready):
            return answer
        self._child = None
        ended = child.end()
        if isinstance(answer, Refused):
            raise (BundleError if answer.fault == "bundle" else InferenceError)(answer.what)
        raise InferenceError(
            f"the model's process {ended} while it loaded the model; set [inference] isolate = false to see more"
        )

    def _score_batch(self, windows: Float32Array) -> tuple[Float32Array, Float32Array]:
        child = self._present_child()
        self._memory.windows[: len(windows)] = windows
        self._runs += 1
        with self._lock:
            run = self._run = _Overdue(self._runs, self._clock.monotonic_ns())
        try:
            answer = self._exchange(child, run, Run(run.number, len(windows)))
        finally:
            with self._lock:
                self._run = None
        if isinstance(answer, Done):
            return self._memory.outputs(len(windows))
        if isinstance(answer, Failed):
            self._counters.add("overruns" if answer.overran else "failures")
            raise (DeadlineError if answer.overran else InferenceError)(answer.what)
        raise self._bury(child, run)

    def _exchange(self, child: _Child, run: _Overdue, request: Run) -> Message | None:
        """The child's answer, None where it ended, or was killed and will not go away."""
        waited_s = 0.0
        try:
            tell(child.runs, request)
        except OSError:
            return None
        while waited_s < _AFTER_KILL_S:
            try:
                return child.hear(_LOOK_S)
            except TimeoutError:
                self.enforce_deadline(self._clock.monotonic_ns())
                waited_s += _LOOK_S * run.killed
        return None

    def _present_child(self) -> _Child:
        """The child, which has answered that it is ready; raises InferenceError while there is none."""
        if self._closed:
            raise InferenceError("the model was closed; load it again")
        if self.failure is None and self._child is not None:
            return self._child
        now_ns = self._clock.monotonic_ns()
        if self._child is None and now_ns >= self._retry_ns:
            self._counters.add("restarts")
            self._retry_ns = now_ns + round(_FIRST_PAUSE_S * NANOSECONDS)  # where the system has no room for a process
            self._child = _Child(self._job, self._memory, self._clock)
            log.info("the model's process is started again")
        if self._child is not None and self._is_ready(self._child):
            self.failure = None
            return self._child
        raise InferenceError(self.failure or "the model's process is not there")

    def _is_ready(self, child: _Child) -> bool:
        """Whether a child that was started again has loaded the model; one that cannot is buried."""
        try:
            answer = child.hear(0)
        except TimeoutError:
            if self._clock.monotonic_ns() - child.started_ns > _START_NS:
                raise self._bury(child, None) from None
            return False
        if isinstance(answer, Ready):
            self._ready = answer
            return True
        if isinstance(answer, Refused):
            log.warning("the model's process refused the model: %s", answer.what)
        raise self._bury(child, None)

    def _bury(self, child: _Child, run: _Overdue | None) -> InferenceError:
        """Count what happened to the child, and say it; the next one may start after a pause."""
        ended = child.end()
        now_ns = self._clock.monotonic_ns()
        self._attempt = 1 if now_ns - child.started_ns > _SOUND_NS else self._attempt + 1
        pause_s = full_jitter_s(
            self._attempt, first_s=_FIRST_PAUSE_S, cap_s=_LONGEST_PAUSE_S, fraction=self._jitter.random()
        )
        error: type[InferenceError] = InferenceError
        if run is not None and run.killed:
            error = DeadlineError
            self._counters.add("overruns")
            ended = f"overran its deadline of {self._deadline_ns / NANOSECONDS:g} s, did not stop, and was killed"
        else:
            self._counters.add("crashes")
        with self._lock:
            self._child = None
        self._retry_ns = now_ns + round(pause_s * NANOSECONDS)
        self.failure = f"the model's process {ended}; crash {self._attempt} in a row, it is started again"
        log.error("the model's process %s; it is started again in %.1f s", ended, pause_s)
        return error(f"the model's process {ended}")


class _Child:
    """One child process and the sockets to it."""

    def __init__(self, job: bytes, memory: SharedBatch, clock: Clock) -> None:
        self.started_ns = clock.monotonic_ns()
        self.runs, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._stops, their_stops = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, their_stops, _file_of(job) as file:
            inherited = (file.fileno(), memory.descriptor, theirs.fileno(), their_stops.fileno())
            # -P: a folder named agent in the working directory must not be taken for ours.
            command = [sys.executable, "-P", "-m", "agent.infer.child", *map(str, inherited)]
            try:
                self.process = subprocess.Popen(command, pass_fds=inherited, stdin=subprocess.DEVNULL)
            except OSError as error:
                raise InferenceError(f"the model's process cannot be started: {error}") from error

    def hear(self, timeout_s: float) -> Message | None:
        """Its next answer, None where it ended; raises TimeoutError."""
        self.runs.settimeout(timeout_s or 1e-6)
        return hear_answer(self.runs)

    def stop(self, number: int) -> None:
        """Have it stop run `number`."""
        self._stops.setblocking(False)
        with contextlib.suppress(OSError):  # gone, or so stuck that it does not hear: then it is killed
            tell(self._stops, Stop(number))

    def end(self) -> str:
        """Close the sockets, at which it ends, or kill it; returns how it ended, for people."""
        self.runs.close()
        self._stops.close()
        for _ in range(2):
            try:
                return _ended(self.process.wait(_AFTER_KILL_S))
            except subprocess.TimeoutExpired:
                self.process.kill()
        return "does not end, not even killed"


def _file_of(data: bytes) -> BinaryIO:
    """A file in memory that holds `data`, at its beginning."""
    file = open(memfd_create("stethos-model"), "w+b")  # noqa: SIM115, PTH123 - the caller closes it; it has no path
    file.write(data)
    file.seek(0)
    return file


def _ended(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended by itself (exit code {code})"

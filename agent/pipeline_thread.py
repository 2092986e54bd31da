"""The pipeline's thread: what people ask, then what devices sent; nothing overtakes what the outbox has not taken yet."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from agent.canary import Canary
from agent.clock import Clock
from agent.commands.dispatcher import Dispatcher
from agent.errors import OutboxError
from agent.pipeline.pipeline import Pipeline
from agent.record.recorder import Recorder
from agent.rollout.handover import Handover
from agent.sources.buffer import ChunkBuffer
from agent.types import NANOSECONDS, Commit

log = logging.getLogger(__name__)

# Eight seconds of 100 devices that send 8 channels of float32 at 256 Hz; beyond that the oldest bytes give way.
BUFFER_BYTES = 8 * 1024 * 1024
TAKE_S = 0.25
# Lets the readers of many devices gather what one step then does at once; an alarm is this much later.
GATHER_S = 0.01
SUBMIT_S = 1.0
REQUESTS_A_TURN = 16


class PipelineThread:
    """`run` is the thread's body; `report` is for any thread, and `undelivered` once the thread has ended."""

    name = "pipeline"

    def __init__(
        self,
        pipeline: Pipeline,
        buffer: ChunkBuffer,
        *,
        canary: Canary,
        recorder: Recorder | None,
        dispatcher: Dispatcher,
        handover: Handover,
        submit: Callable[[Commit, float], None],
        clock: Clock,
    ) -> None:
        """`submit` hands a commit to the outbox within a time in seconds, or raises OutboxError."""
        self.undelivered: Commit | None = None
        self._pipeline = pipeline
        self._buffer = buffer
        self._canary = canary
        self._recorder = recorder
        self._dispatcher = dispatcher
        self._handover = handover
        self._submit = submit
        self._clock = clock
        self.look()

    def look(self) -> None:
        """Let `report` say how the pipeline stands now: within the thread, or before it has begun."""
        self.report, self._reported_ns = self._pipeline.report(), self._clock.monotonic_ns()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set and the buffer is empty."""
        while not stop.is_set() or self._buffer.held_bytes:
            if self.undelivered is not None:
                self._hand_over(self.undelivered)
            else:
                self._turn(stop)
        if self.undelivered is not None:
            self._hand_over(self.undelivered)
        if self.undelivered is None:  # else what it decided before the stop is lost, and the exit code says so
            self._hand_over(self._pipeline.finish())
        self.look()

    def _turn(self, stop: threading.Event) -> None:
        """What people ask goes before what devices sent, of which there may be no end."""
        self._look_each_second()
        self._serve_requests()
        if self.undelivered is None:
            self._exchange()
        if self.undelivered is not None:
            return
        chunks = self._buffer.take(TAKE_S)
        if chunks:
            of_devices = self._canary.taken(chunks)
            if self._recorder is not None and of_devices:
                self._recorder.put(of_devices)
            self._hand_over(self._canary.decided(self._pipeline.step(chunks)))
            stop.wait(GATHER_S)

    def _look_each_second(self) -> None:
        if self._clock.monotonic_ns() - self._reported_ns >= NANOSECONDS:
            self.look()
            self._hand_over(self._pipeline.expire(self._clock.now_ns()))

    def _serve_requests(self) -> None:
        """A few at most, so that they hold up no samples; what one changed is handed over before the next is looked at."""
        for _ in range(REQUESTS_A_TURN):
            commit = None if self.undelivered is not None else self._dispatcher.serve()
            if commit is None:
                return
            self._hand_over(commit)

    def _exchange(self) -> None:
        """Between two steps, so that no window is judged half by one model and half by another."""
        commit = self._handover.serve(self._pipeline.exchange)
        if commit is not None:
            self._hand_over(commit)

    def _hand_over(self, commit: Commit) -> None:
        """Back-pressure: while the disk lags, the readers' buffer fills, drops its oldest bytes and counts them."""
        if commit.empty:
            return
        self.undelivered = commit
        try:
            self._submit(commit, SUBMIT_S)
        except OutboxError as error:
            log.error("%s", error)
            return
        self.undelivered = None

"""A sample of our own that travels with all others, from a source through the pipeline to the outbox: only its arrival shows that data flow."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import msgspec

from agent.clock import Clock
from agent.decode.profile import parse_profile
from agent.sources.buffer import ChunkBuffer
from agent.types import CANARY, NANOSECONDS, Chunk, Commit

EVERY_S = 2.0

PROFILE = parse_profile(
    """
maker = "Stethos"
model = "Canary"
source = "agent/canary.py"
transport = "mqtt"
rate_hz = 0.5
silent_after_s = 60.0
framing = { kind = "message" }
time = { kind = "arrival" }
channel = [{ name = "put_ns", unit = "ns" }]
[json]
fields = { put_ns = "put_ns" }
""",
    "the canary's profile",
)

Stage = Literal["canary", "buffer", "pipeline", "outbox"]


class _Sample(msgspec.Struct, frozen=True):
    put_ns: int  # on the monotonic clock


class Canary:
    """`run` is a source's thread body, `taken` and `decided` are the pipeline's to call, `stuck` the main thread's.

    A commit of nothing but its answer is not written to disk, so that it wears no flash. What is dropped while the pipeline is
    overloaded, or waits while the disk takes nothing, is not held against anybody: a restart mends neither.
    """

    name = "canary"

    def __init__(self, buffer: ChunkBuffer, late_ns: int, clock: Clock) -> None:
        """`late_ns` is how long a sample may be on its way."""
        self._buffer = buffer
        self._late_ns = late_ns
        self._clock = clock
        # When the newest sample that got so far was put; each is written by one thread alone.
        self._put_ns = self._decided_ns = self._arrived_ns = clock.monotonic_ns()
        self._in_hand: int | None = None  # the pipeline works on what it took, this sample or an earlier one among it
        self._newest_taken_ns = self._put_ns
        self._excused_ns = self._put_ns
        self._dropped = 0

    def run(self, stop: threading.Event) -> None:
        """Thread body."""
        while not stop.is_set():
            sample = _Sample(self._clock.monotonic_ns())
            # Without a monotonic time it has no say in where the host's clock steps: decisions are as if it were not there.
            self._buffer.put(Chunk(CANARY, msgspec.json.encode(sample), self._clock.now_ns()))
            self._put_ns = sample.put_ns
            stop.wait(EVERY_S)

    def taken(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        """The chunks that devices sent, of those that the pipeline has taken and now takes a step with."""
        for chunk in chunks:
            if chunk.device == CANARY:
                self._newest_taken_ns = msgspec.json.decode(chunk.data, type=_Sample).put_ns
        self._in_hand = self._newest_taken_ns
        return [chunk for chunk in chunks if chunk.device != CANARY]

    def decided(self, commit: Commit) -> Commit:
        """What the step came to, with the sample's answer where it carried one."""
        in_hand, self._in_hand = self._in_hand, None
        if in_hand is None or in_hand <= self._decided_ns:
            return commit
        self._decided_ns = in_hand
        return replace(commit, answers=(*commit.answers, partial(self._arrive, in_hand)))

    def stuck(self, *, waits_for_disk: bool) -> Stage | None:
        """Where no sample got through in time, None where one has."""
        now_ns = self._clock.monotonic_ns()
        lost = self._buffer.dropped().get(CANARY)
        dropped = 0 if lost is None else lost.chunks
        if waits_for_disk or dropped != self._dropped:
            self._excused_ns, self._dropped = now_ns, dropped
        if now_ns - max(self._arrived_ns, self._excused_ns) <= self._late_ns:
            return None
        if self._in_hand is not None:
            return "pipeline"
        if self._decided_ns > self._arrived_ns:
            return "outbox"
        return "buffer" if self._put_ns > self._newest_taken_ns else "canary"

    def _arrive(self, put_ns: int) -> None:
        self._arrived_ns = put_ns


def late_ns(deadline_ns: int) -> int:
    """How long a sample may be on its way where one model run may take `deadline_ns`."""
    return 30 * NANOSECONDS + deadline_ns

"""What a process that runs a model and the one that needs it have in common: memory for one batch, and messages about it."""

from __future__ import annotations

import mmap
import os
import socket
from typing import Literal

import msgspec
import numpy as np

from agent.errors import InferenceError
from agent.infer.canary import Latency
from agent.infer.placement import Placement
from agent.infer.plan import CANDIDATES
from agent.types import Float32Array

MOST_WINDOWS = CANDIDATES[-1]  # of one batch
_LARGEST_MESSAGE = 64 * 1024
_MOST_TOLD = 2_000
_FLOAT_BYTES = 4


class Message(msgspec.Struct, frozen=True, tag=True):
    """One datagram."""


class Run(Message, frozen=True):
    """Score the first `count` windows in memory; runs are numbered."""

    number: int
    count: int


class Stop(Message, frozen=True):
    """The run of this number is overdue."""

    number: int


class Ready(Message, frozen=True):
    """The model is loaded and proven: what `Loaded` says of it, and the sizes of its batches."""

    provider: str
    degraded: str | None
    placement: Placement
    latency: Latency | None
    variant: str
    tuning: str
    batch_sizes: tuple[int, ...]


class Refused(Message, frozen=True):
    """The model cannot be loaded, and whose fault that is."""

    fault: Literal["bundle", "inference"]
    what: str


class Done(Message, frozen=True):
    """The scores are in memory."""


class Failed(Message, frozen=True):
    """The run gave an InferenceError."""

    what: str
    overran: bool


Answer = Ready | Refused | Done | Failed


def tell(link: socket.socket, message: Message) -> None:
    """Send `message`; raises OSError where nobody listens any more."""
    link.send(msgspec.msgpack.encode(message))


def hear_request(link: socket.socket) -> Run | Stop | None:
    """The next request, None where the other side is gone."""
    data = _hear(link)
    return msgspec.msgpack.decode(data, type=Run | Stop) if data else None


def hear_answer(link: socket.socket) -> Answer | None:
    """The next answer, None where the other side is gone; raises TimeoutError where none comes within the socket's timeout."""
    data = _hear(link)
    return msgspec.msgpack.decode(data, type=Answer) if data else None


def shortened(error: Exception) -> str:
    """What `error` says, to the length that a message may have."""
    return str(error)[:_MOST_TOLD]


def _hear(link: socket.socket) -> bytes:
    try:
        return link.recv(_LARGEST_MESSAGE)
    except ConnectionError:  # it was killed
        return b""


class SharedBatch:
    """Memory that both processes see: `windows` float32 [1024, channels, time], `score` [1024], `channel_score` [1024, channels].

    It has no name, so that nothing is left behind however either process ends. Pages are taken only when they are first written.
    """

    def __init__(self, channels: int, time: int, descriptor: int | None = None) -> None:
        """New memory, or that behind an inherited `descriptor`; raises InferenceError where the system has none."""
        shapes = ((MOST_WINDOWS, channels, time), (MOST_WINDOWS,), (MOST_WINDOWS, channels))
        sizes = [int(np.prod(shape)) * _FLOAT_BYTES for shape in shapes]
        try:
            if descriptor is None:
                descriptor = os.memfd_create("stethos-windows")
                os.ftruncate(descriptor, sum(sizes))
            self.descriptor = descriptor
            memory = mmap.mmap(descriptor, sum(sizes))
        except OSError as error:
            raise InferenceError(f"no memory to share with the model's process: {error}") from error
        offsets = (0, sizes[0], sizes[0] + sizes[1])
        self.windows, self.score, self.channel_score = (
            np.frombuffer(memory, np.float32, count=size // _FLOAT_BYTES, offset=offset).reshape(shape)
            for shape, size, offset in zip(shapes, sizes, offsets, strict=True)
        )

    def outputs(self, count: int) -> tuple[Float32Array, Float32Array]:
        """The first `count` scores, good until the next run."""
        return self.score[:count], self.channel_score[:count]

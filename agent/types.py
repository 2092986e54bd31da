"""The values that walk through the pipeline, in the order in which they appear: chunk, batch, window, verdict, message."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

NANOSECONDS = 1_000_000_000
CANARY = "$canary"  # the device that the agent's own samples are of; no configured one can have this name

Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]
QualityArray = npt.NDArray[np.uint8]


class Quality(enum.IntFlag):
    """What is wrong with one value; GOOD is zero, so a whole array is good where it is not truthy.

    MISSING alone says that this row carries no value of the channel, which is no fault: many formats send only what changed, and
    rows of different channels alternate. A channel has dropped out when it is MISSING for as long as its device may be silent.
    """

    GOOD = 0
    MISSING = 1
    OUT_OF_RANGE = 2
    STUCK = 4
    STALE = 8
    CLIPPED = 16
    JUMPED = 32  # changed faster than it can
    DISAGREES = 64  # with the channels that measure the same
    DULL = 128  # coarser or quieter than its sensor is


class TimeQuality(enum.StrEnum):
    """Where an event time comes from, best first."""

    DEVICE = "device"  # the device stamped the sample with its own clock
    COUNTER = "counter"  # a sample counter, or a clock that counts from boot, tied to the host's clock by regression
    ARRIVAL = "arrival"  # the moment the bytes arrived


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes as one read of a port, or one MQTT message, delivered them.

    `arrived_ns` is the host's clock, nanoseconds since the Unix epoch, UTC, which may step; `topic` is empty where there is none.
    `monotonic_ns` is the same moment on the host's monotonic clock, None where nobody knows it, as in a file of data.
    """

    device: str
    data: bytes
    arrived_ns: int
    topic: str = ""
    monotonic_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """One MQTT message that a device is to be told, over the connection that it is heard on."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Decoded samples of one device, oldest first.

    t_ns int64 [n] event time since the Unix epoch; values float32 [n, channels] in the profile's units;
    quality uint8 [n, channels] of `Quality` flags (a MISSING value is NaN). `lost` counts the samples that the
    sequence counter says never arrived.
    """

    device: str
    t_ns: Int64Array
    values: Float32Array
    quality: QualityArray
    time_quality: TimeQuality
    lost: int = 0

    def __len__(self) -> int:
        """Samples in the batch."""
        return len(self.t_ns)


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One machine's channels on one grid, ready for its model.

    values float32 [channels, time]; `start_ns` is inclusive, `end_ns` exclusive. `unknown` is None where every cell is
    good, else the reason in words; such a window is never scored.
    """

    machine: str
    start_ns: int
    end_ns: int
    values: Float32Array
    unknown: str | None
    time_quality: TimeQuality


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What the model said of one window: score (higher is stranger) and channel_score float32 [channels].

    Where `window.unknown` is set, or the model failed, `unknown` gives the reason and the scores are NaN.
    """

    window: Window
    score: float
    channel_score: Float32Array
    unknown: str | None


class Kind(enum.IntEnum):
    """What a message is worth; the lowest is sent first. The numbers are on disk."""

    ALARM = 0
    GAP = 1
    SUMMARY = 2
    SECURITY = 3


@dataclass(frozen=True, slots=True)
class Message:
    """One MQTT message that must be on disk before it is sent. `key` makes every repeat of it recognisable."""

    key: str
    kind: Kind
    topic: str
    payload: bytes
    created_ns: int
    expiry_s: int | None = None


@dataclass(frozen=True, slots=True)
class Retained:
    """The latest value of a state topic; only the newest one matters, so it lives in memory and is sent on connecting."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """What one pipeline step decided, to be made durable as a whole before any of it is announced.

    `state` holds opaque snapshots by name (alarm states), written in the same transaction as the messages; `journal` holds entries for the
    audit journal (`agent.decide.journal.entry`), chained in it. `answers` are called once all of that is durable, in the outbox's
    thread; they only hand over.
    """

    messages: tuple[Message, ...] = ()
    state: Mapping[str, bytes] = field(default_factory=dict)
    retained: tuple[Retained, ...] = ()
    journal: tuple[bytes, ...] = ()
    answers: tuple[Callable[[], None], ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to make durable and nobody to tell."""
        return not (self.messages or self.state or self.retained or self.journal or self.answers)

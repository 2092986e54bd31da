"""A simulated device: values from physics or data, through the faults of its sensors, its encoder and its link."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from agent.decode.encode import Encoder
from agent.decode.profile import Profile
from agent.errors import ConfigError, Problem
from agent.simulate.blocks import Blocks, Float64Array
from agent.simulate.channels import Feed
from agent.simulate.data import read_rows
from agent.simulate.line import LinkFaults
from agent.simulate.motor import Motor
from agent.simulate.pump import Pump
from agent.simulate.schedule import MACHINE, Schedule
from agent.simulate.sensor import SensorFaults
from agent.simulate.wander import Idle
from agent.types import NANOSECONDS

MODELS = {"motor": Motor, "pump": Pump}
_FAULTS_OF = {
    "motor": {"bearing-outer", "bearing-inner", "bearing-ball", "imbalance", "misalignment"},
    "pump": {"imbalance", "cavitation", "blocked-filter"},
}
_READ = 256


class Sent(NamedTuple):
    """What one sampling period sends, `offset_ns` after the first: topics (empty on a port) and bytes, perhaps none yet."""

    offset_ns: int
    parts: list[tuple[str, bytes]]


class Samples(Protocol):
    """Where values come from: float64 [n, channels] at a time, fewer than asked at the end."""

    def read(self, count: int, /) -> Float64Array: ...


class _Fed:
    """A model's quantities as a profile's channels."""

    def __init__(self, blocks: Blocks, feed: Feed) -> None:
        self._blocks, self._feed = blocks, feed

    def read(self, count: int) -> Float64Array:
        return self._feed.apply(self._blocks.read(count))


def samples(profile: Profile, schedule: Schedule, seed: int, model: str | None, data: Path | None) -> Samples:
    """Values of the profile's channels; from neither `model` nor `data` they wander within their ranges.

    Raises ConfigError where model or data do not fit the profile or the faults.
    """
    machine_faults = {fault.kind for fault in schedule.of(*MACHINE)}
    known = _FAULTS_OF.get(model or "", set())
    if strange := sorted(machine_faults - known):
        where = f"model '{model}'" if model else "data" if data else "device without --model"
        raise ConfigError(
            [Problem(f"--fault {kind}", f"a {where} has no such fault", _remedy(kind)) for kind in strange]
        )
    if data is not None:
        return read_rows(data, profile.channel_names)
    if model is None:
        return Blocks(Idle(profile.channel, profile.rate_hz, seed), profile.rate_hz)
    try:
        physics = MODELS[model](profile.rate_hz, seed, schedule)
    except ValueError as error:
        raise ConfigError([Problem(f"--model {model}", str(error), "take a faster profile")]) from error
    return _Fed(Blocks(physics, profile.rate_hz), Feed(profile.channel, physics.quantities, model))


class Device:
    """The device; `topic` is where it publishes, as `Encoder.messages` takes it, and empty on a port."""

    def __init__(self, profile: Profile, values: Samples, schedule: Schedule, seed: int, topic: str = "") -> None:
        self.schedule = schedule
        self._profile = profile
        self._topic = topic
        self._values = values
        self._encoder = Encoder(profile)
        self._sensor = SensorFaults(schedule, profile.channel, profile.rate_hz, seed)
        self._line = LinkFaults(schedule, seed)

    def will(self) -> tuple[str, bytes] | None:
        """What the broker must publish when this device is gone, if anything."""
        return self._encoder.will(self._topic)

    def run(self, start_ns: int) -> Iterator[Sent]:
        """What it sends from `start_ns` on, nanoseconds since the Unix epoch, at the profile's rate, until its data ends."""
        count = 0
        while len(values := self._sensor.apply(self._values.read(_READ))):
            for row in values.tolist():
                offset_ns = round(count * NANOSECONDS / self._profile.rate_hz)
                sent = self._encoder.messages(row, start_ns + offset_ns, self._topic)
                parts = [(topic, self._line.apply(data, offset_ns)) for topic, data in sent]
                yield Sent(offset_ns, [(topic, data) for topic, data in parts if data])
                count += 1


def _remedy(kind: str) -> str:
    models = [model for model, faults in _FAULTS_OF.items() if kind in faults]
    return f"add --model {' or '.join(models)}"

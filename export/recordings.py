"""Recordings of the daemon as runs: its raw frames decoded and watched as they were on the box, one run for each of its sessions."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from agent.config.profiles import ProfileMissing, read_profile
from agent.decode.decoder import Decoder
from agent.decode.schema import Profile
from agent.decode.timebase_host import HostTime
from agent.errors import ConfigError, Problem, RecordError
from agent.record.reading import Recording, Step
from agent.sensors.watch import SensorWatch
from agent.toml_structs import nearest
from agent.types import NANOSECONDS, Batch, Chunk, TimeQuality
from export.cleaning import Stream
from export.dataset_schema import Dataset, DatasetFile, PlacedRun
from export.moments import moment_ns
from export.rows import BoolArray, Cells


def read(placed: PlacedRun, source: DatasetFile) -> list[tuple[str, list[Stream]]]:
    """A name and the devices' streams for each session of the recording that has samples; raises ConfigError."""
    dataset = source.dataset
    profiles = _profiles(source)
    columns = _columns(dataset, profiles)
    try:
        sessions = [
            _Session(profiles, steps).streams(columns, placed)
            for _, steps in itertools.groupby(Recording(placed.path).steps(), key=lambda step: step.session)
        ]
    except RecordError as error:
        raise ConfigError([Problem(str(placed.path), str(error), "give the folder of a recording")]) from error
    found = [streams for streams in sessions if any(len(stream) for stream in streams)]
    return [(f"{placed.name}#{number}", streams) for number, streams in enumerate(found, start=1)]


def _profiles(source: DatasetFile) -> dict[str, Profile]:
    found, problems = {}, []
    for device in source.dataset.device:
        try:
            found[device.id] = read_profile(device.profile, source.path_of_toml.parent)
        except ProfileMissing as error:
            remedy = nearest(device.profile, error.available)
            problems.append(Problem(f"device '{device.id}'", f"there is no profile '{device.profile}'", remedy))
    if problems:
        raise ConfigError(problems)
    return found


def _columns(dataset: Dataset, profiles: dict[str, Profile]) -> dict[str, list[tuple[int, int]]]:
    """Of each device that is used: (column of its batches, channel of the data set); raises ConfigError."""
    places = {
        f"{device}.{channel.name}": (device, column, channel.unit)
        for device, profile in profiles.items()
        for column, channel in enumerate(profile.channel)
    }
    found, problems = defaultdict[str, list[tuple[int, int]]](list), []
    for index, channel in enumerate(dataset.channel):
        place = places.get(channel.source_column)
        if place is None:
            what = f"no device sends '{channel.source_column}'"
            problems.append(Problem(f"channel '{channel.name}'", what, nearest(channel.source_column, places)))
        elif place[2] != channel.unit or channel.unit_from is not None:
            what = f"comes in '{place[2]}', and the box will not convert it"
            problems.append(
                Problem(f"channel '{channel.name}'", what, "write its unit as the profile has it, without unit_from")
            )
        else:
            found[place[0]].append((place[1], index))
    if problems:
        raise ConfigError(problems)
    return dict(found)


class _Session:
    """One run of the daemon: fresh decoders, watches and host clock, as `agent.pipeline.intake` has them before its window stage."""

    def __init__(self, profiles: dict[str, Profile], steps: Iterable[Step]) -> None:
        self._profiles = profiles
        self._decoders = {device: Decoder(profile, device) for device, profile in profiles.items()}
        self._watches = {device: SensorWatch(profile) for device, profile in profiles.items()}
        self._batches = defaultdict[str, list[Batch]](list)
        self._host = HostTime()
        on_line = any(decoder.time_quality is not TimeQuality.DEVICE for decoder in self._decoders.values())
        for step in steps:
            for part in self._host.on_line([chunk for chunk in step.chunks if chunk.device in profiles]):
                self._take(part, on_line=on_line)

    def _take(self, chunks: list[Chunk], *, on_line: bool) -> None:
        """Times of devices that do not know UTC stay on the host's line, so that a step of its clock tears no window."""
        of_device = defaultdict[str, list[Chunk]](list)
        for chunk in chunks:
            of_device[chunk.device].append(chunk)
        for device, theirs in of_device.items():
            batch = self._decoders[device].feed(theirs)
            if batch is not None:
                seen = self._watches[device].inspect(batch)
                self._batches[device].append(self._host.line_batch(seen) if on_line else self._host.utc_batch(seen))

    def streams(self, columns: dict[str, list[tuple[int, int]]], placed: PlacedRun) -> list[Stream]:
        """The devices' samples, those of the time that the run asks for."""
        return [self._stream(device, pairs, placed) for device, pairs in columns.items()]

    def _stream(self, device: str, pairs: list[tuple[int, int]], placed: PlacedRun) -> Stream:
        profile, decoder, batches = self._profiles[device], self._decoders[device], self._batches[device]
        picked = [column for column, _ in pairs]
        t_ns = np.concatenate([np.empty(0, np.int64), *[batch.t_ns for batch in batches]])
        values = np.concatenate(
            [np.empty((0, len(pairs)), np.float32), *[batch.values[:, picked] for batch in batches]]
        )
        quality = np.concatenate(
            [np.empty((0, len(pairs)), np.uint8), *[batch.quality[:, picked] for batch in batches]]
        )
        kept: BoolArray = np.ones(len(t_ns), np.bool_)
        if placed.run.since is not None:
            kept &= t_ns >= moment_ns(placed.run.since)
        if placed.run.until is not None:
            kept &= t_ns < moment_ns(placed.run.until)
        return Stream(
            t_ns=t_ns[kept],
            values=values[kept],
            quality=quality[kept],
            labels=None,
            channels=tuple(index for _, index in pairs),
            cells=tuple(Cells() for _ in pairs),
            rate_hz=profile.rate_hz,
            stamped=True,
            max_step_ns=round(profile.time.max_step_s * NANOSECONDS),
            disorder_ns=round(profile.time.max_disorder_s * NANOSECONDS),
            rows=int(kept.sum()) + decoder.counters["time_errors"],
            empty=0,
            untimed=0,
            disbelieved=decoder.counters["time_errors"],
            broken_frames=decoder.counters["checksum_errors"] + decoder.counters["decode_errors"],
        )

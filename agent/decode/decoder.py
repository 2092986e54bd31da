"""The decoder of one device: chunks of bytes in, batches of samples out; bytes that make no sense are counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.decode.envelope import Envelope, Rejected
from agent.decode.formats import record_format
from agent.decode.framing import framer
from agent.decode.records import BoolArray, Float64Array, Records
from agent.decode.scaling import Scaling
from agent.decode.schema import Profile
from agent.decode.sequence import SequenceTracker
from agent.decode.timebase import ArrivalTime, CounterTime, DeviceTime
from agent.metrics import Balance, Counters
from agent.types import NANOSECONDS, Batch, Chunk, Int64Array, Quality, TimeQuality

_LOST_FRAMES = ("checksum_errors", "decode_errors", "skipped", "repeated", "time_errors")


class Decoder:
    """Decodes the stream of one device as its profile describes it.

    counters: bytes, frames, samples; frames without a sample by reason: checksum_errors, decode_errors, skipped (headers),
    repeated, time_errors; resync_bytes (of broken frames), overlong (frames), lost (samples, by the sequence counter), resets
    (of that counter), reanchored (of counter time), out_of_range and missing (values).
    """

    def __init__(self, profile: Profile, device: str) -> None:
        self.device = device
        self.counters = Counters()
        self._framer = framer(profile)
        self._envelope = Envelope(profile)
        self._format = record_format(profile)
        self._scaling = Scaling(profile.channel)
        self._sequence = SequenceTracker(profile.sequence_bits) if profile.sequence else None
        self._time_quality = TimeQuality(profile.time.kind)
        self._device_time = DeviceTime(round(profile.time.max_step_s * NANOSECONDS))
        self._counter_time = CounterTime(profile.rate_hz, round(profile.time.max_departure_ms * 1_000_000))
        self._arrival_time = ArrivalTime(profile.rate_hz)

    def feed(self, chunks: Sequence[Chunk]) -> Batch | None:
        """The samples that these chunks complete, or None; whatever the bytes, this does not raise."""
        frames, arrived_ns = self._frames(chunks)
        if not frames:
            return None
        records, rejected = self._envelope.open(frames)
        frames, arrived_ns = self._reject(frames, arrived_ns, rejected)
        table, rejected = self._format.read(records)
        frames, arrived_ns = self._reject(frames, arrived_ns, rejected)
        self.counters.add("accepted_bytes", sum(map(len, frames)))
        return self._batch(table, arrived_ns) if frames else None

    def balance(self) -> Balance:
        """Bytes: entered = in frames that were understood, and delimiters + held in a frame not ended + dropped."""
        accepted = self.counters["accepted_bytes"] + self._framer.delimiter_bytes
        return Balance(self.counters["bytes"], accepted, self._framer.held_bytes, self.counters["resync_bytes"])

    def frame_balance(self) -> Balance:
        """Frames: entered = samples + dropped for one of the reasons that `counters` lists; none is ever held."""
        dropped = sum(self.counters[reason] for reason in _LOST_FRAMES)
        return Balance(self.counters["frames"], self.counters["samples"], 0, dropped)

    def _frames(self, chunks: Sequence[Chunk]) -> tuple[list[bytes], Int64Array]:
        """The frames that the chunks complete, and the arrival of each one's last byte."""
        feed = self._framer.feed
        frames: list[bytes] = []
        counts: list[int] = []
        skipped_bytes, overlong = self._framer.skipped_bytes, self._framer.overlong
        for chunk in chunks:
            completed = feed(chunk.data)
            frames += completed
            counts.append(len(completed))
        self.counters.add("bytes", sum([len(chunk.data) for chunk in chunks]))
        self.counters.add("frames", len(frames))
        self.counters.add("overlong", self._framer.overlong - overlong)
        self.counters.add("resync_bytes", self._framer.skipped_bytes - skipped_bytes)
        arrivals = np.array([chunk.arrived_ns for chunk in chunks], dtype=np.int64)
        return frames, np.repeat(arrivals, counts)

    def _reject(
        self, frames: list[bytes], arrived_ns: Int64Array, rejected: Rejected
    ) -> tuple[list[bytes], Int64Array]:
        if not rejected:
            return frames, arrived_ns
        for index, reason in rejected.items():
            self.counters.add(reason)
            self.counters.add("accepted_bytes" if reason == "skipped" else "resync_bytes", len(frames[index]))
        kept = [frame for index, frame in enumerate(frames) if index not in rejected]
        return kept, np.delete(arrived_ns, list(rejected))

    def _batch(self, table: Records, arrived_ns: Int64Array) -> Batch | None:
        fresh = np.ones(len(arrived_ns), dtype=bool)
        position, lost = arrived_ns, 0
        if self._sequence is not None and table.sequence is not None:
            counted = self._sequence.track(table.sequence)
            fresh, position, lost = counted.fresh, counted.position, counted.lost
            self.counters.add("lost", lost)
            self.counters.add("repeated", counted.repeated)
            self.counters.add("resets", counted.resets)
        if table.time_ns is not None:
            return self._device_timed(table.values, table.time_ns, fresh, lost)
        values, arrived_ns = table.values[fresh], arrived_ns[fresh]
        if self._time_quality is TimeQuality.ARRIVAL:
            return self._finish(self._arrival_time.stamp(arrived_ns), values, lost)
        reanchored = self._counter_time.reanchored
        t_ns = self._counter_time.stamp(position[fresh], arrived_ns)
        self.counters.add("reanchored", self._counter_time.reanchored - reanchored)
        return self._finish(t_ns, values, lost)

    def _device_timed(self, values: Float64Array, time_ns: Int64Array, fresh: BoolArray, lost: int) -> Batch | None:
        plausible = self._device_time.plausible(time_ns)
        self.counters.add("time_errors", int(np.count_nonzero(fresh & ~plausible)))
        kept = fresh & plausible
        order = np.flatnonzero(kept)[np.argsort(time_ns[kept], kind="stable")]
        return self._finish(time_ns[order], values[order], lost)

    def _finish(self, t_ns: Int64Array, raw: Float64Array, lost: int) -> Batch | None:
        if len(t_ns) == 0:
            return None
        values, quality = self._scaling.apply(raw)
        self.counters.add("samples", len(t_ns))
        self.counters.add("out_of_range", int(np.count_nonzero(quality & Quality.OUT_OF_RANGE)))
        self.counters.add("missing", int(np.count_nonzero(quality & Quality.MISSING)))
        return Batch(self.device, t_ns, values, quality, self._time_quality, lost)

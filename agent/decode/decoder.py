"""The decoder of one device: chunks of bytes in, batches of samples out; bytes that make no sense are counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from agent.decode.envelope import Envelope, Rejected
from agent.decode.formats import record_format
from agent.decode.framing import framer
from agent.decode.pieces import BoolArray, sizes
from agent.decode.records import Arrivals, Records
from agent.decode.scaling import Scaling
from agent.decode.schema import Profile
from agent.decode.sequence import SequenceTracker
from agent.decode.timebase import ArrivalTime, DeviceTime
from agent.decode.timebase_boot import BootClock
from agent.decode.timebase_counter import CounterTime
from agent.decode.timebase_watch import ClockWatch
from agent.metrics import Balance, Counters
from agent.types import NANOSECONDS, Batch, Chunk, Command, Int64Array, Quality, TimeQuality

_BROKEN = ("checksum_errors", "decode_errors")
# Where nobody takes them, as in a replay, the oldest give way.
_MAX_COMMANDS = 64


class Decoder:
    """Decodes the stream of one device as its profile describes it.

    counters: bytes, frames, samples; frames without a sample by reason: checksum_errors, decode_errors, skipped (headers) and what
    the format adds; samples not kept by reason: repeated, time_errors; resync_bytes (of broken frames), overlong (frames),
    lost (samples, by the sequence counter) and late (those that still filled a gap), resets (of that counter, or of a clock that counts
    from boot), reanchored (of counter time), out_of_range and missing (values).
    commands: what the device should be told, for whoever may to take it from there.
    """

    def __init__(self, profile: Profile, device: str) -> None:
        self.device = device
        self.counters = Counters()
        self.commands: deque[Command] = deque(maxlen=_MAX_COMMANDS)
        self._framer = framer(profile)
        self._envelope = Envelope(profile)
        self._format = record_format(profile, self.counters, self.commands)
        self._scaling = Scaling(profile.channel)
        self._sequence = _sequence(profile) if profile.sequence else None
        max_step_ns = round(profile.time.max_step_s * NANOSECONDS)
        self._boot_clock = _boot_clock(profile, max_step_ns) if profile.time.epoch == "boot" else None
        self.time_quality = TimeQuality(profile.time.kind) if self._boot_clock is None else TimeQuality.COUNTER
        self._device_time = DeviceTime(max_step_ns)
        self._clock_watch = ClockWatch(profile.rate_hz, max_step_ns)
        counted_hz = profile.rate_hz if self._boot_clock is None else float(NANOSECONDS)
        self._counter_time = CounterTime(counted_hz, round(profile.time.max_departure_ms * 1_000_000))
        self._arrival_time = ArrivalTime(profile.rate_hz)
        self._rejected_frames = self._accepted_frames = self._rows = self._dropped_rows = 0

    def feed(self, chunks: Sequence[Chunk]) -> Batch | None:
        """The samples that these chunks complete, or None; whatever the bytes, this does not raise."""
        frames, arrivals = self._frames(chunks)
        if len(frames) == 0:
            return None
        lengths = sizes(frames)
        records, rejected = self._envelope.open(frames)
        lengths, arrivals = self._reject(lengths, arrivals, rejected)
        table, rejected = self._format.read(records, arrivals)
        lengths, accepted = self._reject(lengths, arrivals, rejected)
        self.counters.add("accepted_bytes", int(lengths.sum()))
        origin = accepted.origin if table.owner is None else arrivals.origin[table.owner]
        self._accepted_frames += len(lengths)
        self._rows += len(table.values)
        arrived_ns = np.array([chunk.arrived_ns for chunk in chunks], dtype=np.int64)[origin]
        return self._batch(table, np.repeat(arrived_ns, table.samples)) if len(origin) else None

    def balance(self) -> Balance:
        """Bytes: entered = in frames that were understood, and delimiters + held in a frame not ended + dropped."""
        accepted = self.counters["accepted_bytes"] + self._framer.delimiter_bytes
        return Balance(self.counters["bytes"], accepted, self._framer.held_bytes, self.counters["resync_bytes"])

    def frame_balance(self) -> Balance:
        """Frames: entered = samples + dropped for one of the reasons that `counters` lists; none is ever held.

        A frame of several samples counts as so many.
        """
        entered = self.counters["frames"] - self._accepted_frames + self._rows
        return Balance(entered, self.counters["samples"], 0, self._rejected_frames + self._dropped_rows)

    @property
    def drift_ppm(self) -> float | None:
        """How much faster than nominal the device's clock runs, by the host's; None where that is not known, or not yet."""
        return self.gauges().get("drift_ppm")

    def gauges(self) -> dict[str, float]:
        """Of a device's clock, once it has been seen for a while: drift_ppm; time_uncertainty_ms of counter time, or the
        clock_offset_ms by which the device's own clock is ahead of the host's.
        """
        if self.time_quality is TimeQuality.COUNTER and (line := self._counter_time.line).settled:
            return {"drift_ppm": line.drift_ppm, "time_uncertainty_ms": line.residual_ns / 1e6}
        if self.time_quality is TimeQuality.DEVICE and (line := self._clock_watch.line).settled:
            return {"drift_ppm": line.drift_ppm, "clock_offset_ms": self._clock_watch.offset_ns / 1e6}
        return {}

    def _frames(self, chunks: Sequence[Chunk]) -> tuple[Sequence[bytes], Arrivals]:
        """The frames that the chunks complete, and the arrival of each one's last byte."""
        skipped_bytes, overlong = self._framer.skipped_bytes, self._framer.overlong
        refused = self._framer.checksum_errors
        data = [chunk.data for chunk in chunks]
        frames, origin = self._framer.cut(data)
        self.counters.add("bytes", sum(map(len, data)))
        refused = self._framer.checksum_errors - refused
        self.counters.add("frames", len(frames) + refused)
        self.counters.add("checksum_errors", refused)
        self._rejected_frames += refused
        self.counters.add("overlong", self._framer.overlong - overlong)
        self.counters.add("resync_bytes", self._framer.skipped_bytes - skipped_bytes)
        return frames, Arrivals(chunks, origin)

    def _reject(self, lengths: Int64Array, arrivals: Arrivals, rejected: Rejected) -> tuple[Int64Array, Arrivals]:
        """Count the rejected frames; the lengths int64 [n] and arrivals of the others."""
        if not rejected:
            return lengths, arrivals
        self._rejected_frames += len(rejected)
        for index, reason in rejected.items():
            self.counters.add(reason)
            self.counters.add("resync_bytes" if reason in _BROKEN else "accepted_bytes", int(lengths[index]))
        places = list(rejected)
        return np.delete(lengths, places), Arrivals(arrivals.chunks, np.delete(arrivals.origin, places))

    def _batch(self, table: Records, arrived_ns: Int64Array) -> Batch | None:
        fresh = np.ones(len(arrived_ns), dtype=bool)
        position, anew, lost = arrived_ns, None, table.lost
        if self._sequence is not None and table.sequence is not None:
            counted = self._sequence.track(table.sequence, table.samples)
            fresh, position, anew, lost = counted.fresh, counted.position, counted.anew, counted.lost
            self.counters.add("repeated", counted.repeated)
            self.counters.add("late", counted.late)
            self.counters.add("resets", counted.resets)
            self._dropped_rows += counted.repeated
        self.counters.add("lost", lost)
        if table.time_ns is not None and self._boot_clock is None:
            return self._device_timed(table, table.time_ns, arrived_ns, fresh, lost)
        kept = np.flatnonzero(fresh)
        if self.time_quality is TimeQuality.ARRIVAL:
            return self._finish(self._arrival_time.stamp(arrived_ns[kept]), table, kept, lost)
        if table.time_ns is not None and self._boot_clock is not None:
            position, plausible, anew = self._boot_clock.read(table.time_ns[kept])
            self.counters.add("resets", int(np.count_nonzero(anew)))
            kept = self._only(plausible, kept)
            t_ns = self._count_time(position[plausible], arrived_ns[kept], anew[plausible])
        elif len(kept) == len(fresh):
            t_ns = self._count_time(position, arrived_ns, anew)
        else:
            t_ns = self._count_time(position[kept], arrived_ns[kept], None if anew is None else anew[kept])
        if np.count_nonzero(t_ns[1:] < t_ns[:-1]):
            order = np.argsort(t_ns, kind="stable")
            t_ns, kept = t_ns[order], kept[order]
        return self._finish(t_ns, table, kept, lost)

    def _count_time(self, position: Int64Array, arrived_ns: Int64Array, anew: BoolArray | None) -> Int64Array:
        reanchored = self._counter_time.reanchored
        t_ns = self._counter_time.stamp(position, arrived_ns, anew)
        self.counters.add("reanchored", self._counter_time.reanchored - reanchored)
        return t_ns

    def _device_timed(
        self, table: Records, time_ns: Int64Array, arrived_ns: Int64Array, fresh: BoolArray, lost: int
    ) -> Batch | None:
        kept = np.flatnonzero(fresh)
        kept = self._only(self._device_time.plausible(time_ns[kept]), kept)
        order = kept[np.argsort(time_ns[kept], kind="stable")]
        if len(order):
            self._clock_watch.see(int(time_ns[order[-1]]), int(arrived_ns[order[-1]]))
        return self._finish(time_ns[order], table, order, lost)

    def _only(self, plausible: BoolArray, kept: Int64Array) -> Int64Array:
        """Those of the rows `kept` int64 [n] whose time is plausible bool [n]; the others are counted."""
        implausible = len(kept) - int(np.count_nonzero(plausible))
        self.counters.add("time_errors", implausible)
        self._dropped_rows += implausible
        return kept[plausible]

    def _finish(self, t_ns: Int64Array, table: Records, kept: Int64Array, lost: int) -> Batch | None:
        """The batch of the rows `kept`, whose times are t_ns; both int64 [n]."""
        if len(t_ns) == 0:
            return None
        whole = len(kept) == len(table.values) and not np.count_nonzero(kept[1:] < kept[:-1])  # as nearly always
        values, quality = self._scaling.apply(table.values if whole else table.values[kept])
        if table.quality is not None:
            quality |= table.quality[kept]
        self.counters.add("samples", len(t_ns))
        if quality.any():
            self.counters.add("out_of_range", int(np.count_nonzero(quality & Quality.OUT_OF_RANGE)))
            self.counters.add("missing", int(np.count_nonzero(quality & Quality.MISSING)))
        return Batch(self.device, t_ns, values, quality, table.time_quality or self.time_quality, lost)


def _sequence(profile: Profile) -> SequenceTracker:
    return SequenceTracker(profile.sequence_modulus, profile.frame_samples, profile.max_late_samples)


def _boot_clock(profile: Profile, max_step_ns: int) -> BootClock:
    return BootClock(profile.clock_wrap_ns, max_step_ns, round(profile.time.max_disorder_s * NANOSECONDS))

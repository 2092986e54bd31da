"""Intake: chunks of bytes in, machines' windows out; what devices want to be told is passed on."""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from agent.decode.decoder import Decoder
from agent.decode.timebase_host import HostTime
from agent.metrics import Counters
from agent.pipeline.machine import Machine
from agent.sensors.watch import SensorWatch
from agent.types import NANOSECONDS, Batch, Chunk, Command, TimeQuality, Window

log = logging.getLogger(__name__)


class Intake:
    """Event times of machines whose devices all have a UTC clock are taken as they are. Those of other machines lie on the host's line
    (`HostTime`) up to the window stage and are UTC behind it, so that a step of the host's clock tears no window.

    counters: windows, clock_steps.
    """

    def __init__(
        self,
        decoders: Mapping[str, Decoder],
        watches: Mapping[str, SensorWatch],
        machines: Iterable[Machine],
        tell: Mapping[str, Callable[[Command], None]],
        counters: Counters,
    ) -> None:
        """See `Pipeline`."""
        self.decoders = decoders
        self.watches = watches
        self._tell = tell
        self._counters = counters
        self._host = HostTime()
        self._on_line: dict[str, bool] = {}  # by machine
        self._fed_by: defaultdict[str, list[Machine]] = defaultdict(list)
        for machine in machines:
            qualities = [decoders[device].time_quality for device in machine.devices]
            self._on_line[machine.id] = any(quality is not TimeQuality.DEVICE for quality in qualities)
            for device in machine.devices:
                self._fed_by[device].append(machine)

    def decode(self, chunks: Sequence[Chunk]) -> Iterator[Batch]:
        """The samples in `chunks`, device by device, each marked with what its sensors suffer from."""
        steps = self._host.steps
        for part in self._host.on_line(chunks):
            if self._host.steps > steps:
                log.warning("the host's clock was set: event times are now %+.1f s", self._host.lead_ns / NANOSECONDS)
                self._counters.add("clock_steps", self._host.steps - steps)
                steps = self._host.steps
            yield from self._decode_part(part)

    def windows(self, batches: Iterable[Batch]) -> list[tuple[Machine, Window]]:
        """The windows that `batches` complete, in UTC."""
        windows: list[tuple[Machine, Window]] = []
        for batch in batches:
            in_utc = self._host.utc_batch(batch)
            for machine in self._fed_by[batch.device]:
                machine.summary.add_samples(in_utc)
                if self._on_line[machine.id]:
                    cut = machine.aligner.add(self._host.line_batch(batch))
                    windows += [(machine, self._host.utc_window(window)) for window in cut]
                else:
                    windows += [(machine, window) for window in machine.aligner.add(in_utc)]
        self._counters.add("windows", len(windows))
        return windows

    def gauges(self) -> dict[str, dict[str, float]]:
        """Of each device's clock, where they are known; one of its own is held against the host's as that is set now."""
        gauges = {name: decoder.gauges() for name, decoder in self.decoders.items()}
        for of_device in gauges.values():
            if "clock_offset_ms" in of_device:
                of_device["clock_offset_ms"] -= self._host.lead_ns / 1e6
        return gauges

    def _decode_part(self, chunks: Sequence[Chunk]) -> Iterator[Batch]:
        by_device: defaultdict[str, list[Chunk]] = defaultdict(list)
        for chunk in chunks:
            by_device[chunk.device].append(chunk)
        for device, of_device in by_device.items():
            decoder, watch = self.decoders[device], self.watches[device]
            batch = decoder.feed(of_device)
            watch.line.look(decoder.counters, decoder.drift_ppm, of_device[-1].arrived_ns)
            if decoder.commands:
                self._pass_on(device, decoder.commands)
            if batch is not None:
                yield watch.inspect(batch)

    def _pass_on(self, device: str, commands: deque[Command]) -> None:
        tell = self._tell.get(device)
        while commands:
            command = commands.popleft()
            if tell is not None:
                tell(command)

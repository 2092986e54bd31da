"""The serial port of one device: found, opened, started up and read; a port that is gone is an error, a silent one is not."""

from __future__ import annotations

import threading

from agent.clock import Clock
from agent.config.checked import SerialPlace
from agent.decode.startup import StartUp
from agent.ports.listing import ListPorts, locate, system_ports
from agent.sources.buffer import ChunkBuffer
from agent.sources.link import LinkStatus, keep_open
from agent.sources.serial_line import SerialLine
from agent.sources.start_up import start_up
from agent.sources.telling import Teller
from agent.types import NANOSECONDS, Chunk

# How soon a stop is seen on a silent port.
_READ_TIMEOUT_S = 0.5
_REOPEN_CAP_S = 2.0


class SerialSource:
    """One device on its port, which is looked for anew at every opening.

    status.counters: startups; startup_retries; startup_bytes (read before the last answer, and no data).
    """

    def __init__(
        self,
        device: str,
        place: SerialPlace,
        buffer: ChunkBuffer,
        clock: Clock,
        *,
        startup: StartUp | None = None,
        list_ports: ListPorts = system_ports,
    ) -> None:
        self.name = f"serial {place.name}"
        self.status = LinkStatus()
        self.teller = Teller(clock)
        self._device = device
        self._place = place
        self._buffer = buffer
        self._clock = clock
        self._startup = startup if startup is not None and startup.commands else None
        self._list_ports = list_ports

    def run(self, stop: threading.Event) -> None:
        """Read until `stop` is set."""
        keep_open(self.name, self.status, lambda: self._session(stop), stop, _REOPEN_CAP_S)

    def _session(self, stop: threading.Event) -> None:
        path = locate(self._place.port, self._place.identity, self._list_ports)
        with SerialLine(path, self._place) as line:
            self._start_up(line, stop)
            self.status.up()
            heard_ns = self._clock.monotonic_ns()
            while not stop.is_set():
                self.teller.carry_out(line, self._put, stop)
                if data := line.read(_READ_TIMEOUT_S):
                    heard_ns = self._put(data)
                elif self._may_have_rebooted(heard_ns):
                    self._start_up(line, stop)
                    heard_ns = self._clock.monotonic_ns()

    def _start_up(self, line: SerialLine, stop: threading.Event) -> None:
        if self._startup is None:
            return
        self.status.counters.add("startups")
        if data := start_up(line, self._startup.commands, self.status.counters, self._clock, stop):
            self._put(data)

    def _may_have_rebooted(self, heard_ns: int) -> bool:
        """A device that was told to send and falls silent has lost power, as far as can be known."""
        silent_ns = self._clock.monotonic_ns() - heard_ns
        return self._startup is not None and silent_ns > self._startup.silent_after_s * NANOSECONDS

    def _put(self, data: bytes) -> int:
        """Hand over `data`; returns the monotonic time of its arrival."""
        arrived_ns = self._clock.monotonic_ns()
        self.status.last_arrival_ns[self._device] = arrived_ns
        self._buffer.put(Chunk(self._device, data, self._clock.now_ns(), monotonic_ns=arrived_ns))
        return arrived_ns

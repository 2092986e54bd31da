"""The Modbus slaves of one bus, polled by one thread: a line that is gone and a slave that is silent are two faults."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from agent.clock import Clock
from agent.config.checked import SerialPlace, TcpPlace
from agent.decode.modbus_plan import Plan, Request, exchange_s, plan, silence_s
from agent.decode.schema import ModbusRecord, Profile
from agent.errors import LinkError
from agent.metrics import Counters
from agent.ports.listing import ListPorts, locate, system_ports
from agent.sources.buffer import ChunkBuffer
from agent.sources.link import LinkStatus, keep_open
from agent.sources.modbus_master import ModbusMaster, RefusedError, SilentError
from agent.sources.poll_schedule import PollSchedule, Slave
from agent.sources.serial_line import SerialLine
from agent.sources.tcp_line import TcpLine
from agent.types import NANOSECONDS, Chunk

log = logging.getLogger(__name__)

_REOPEN_CAP_S = 5.0
_CONNECT_TIMEOUT_S = 1.5
_LONGEST_WAIT_S = 1.0
# Modbus Application Protocol 1.1b3, section 7.
_EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target does not answer",
}
# By these a gateway says that a slave behind it is silent, after a time-out of its own.
_SILENT_BEHIND_GATEWAY = {10, 11}


@dataclass(frozen=True, slots=True, eq=False)
class _Unit:
    """A slave with what is asked of it, and its place in the schedule."""

    address: int
    modbus: ModbusRecord
    plan: Plan
    slave: Slave
    counters: Counters


class ModbusBus:
    """A serial line with Modbus RTU, or a host with Modbus TCP; each poll of a slave that succeeds is one chunk.

    status.device_counters: polls; those without a record by reason: polls_unanswered, polls_garbled, exception_CODE;
    polls_skipped (turns for which there was no time). status.counters: noise_bytes (before answers).
    """

    def __init__(
        self,
        bus: SerialPlace | TcpPlace,
        slaves: Mapping[str, tuple[int, Profile]],
        buffer: ChunkBuffer,
        clock: Clock,
        list_ports: ListPorts = system_ports,
    ) -> None:
        """`slaves` are the devices with their addresses on the bus and their profiles."""
        self.name = f"modbus {bus.name}"
        self.status = LinkStatus()
        self._bus = bus
        self._buffer = buffer
        self._clock = clock
        self._list_ports = list_ports
        self._baud = bus.baud if isinstance(bus, SerialPlace) else None
        self._units = {device: self._unit(device, address, profile) for device, (address, profile) in slaves.items()}
        self.status.device_counters.update({device: unit.counters for device, unit in self._units.items()})
        # Every slave hears every frame, so all of them need the silence that one needs.
        pause_s = max(unit.modbus.pause_ms for unit in self._units.values()) / 1_000
        self._pause_s = pause_s if self._baud is None else max(pause_s, silence_s(self._baud))
        self._unanswered = 0  # in a row, by whichever slave

    def run(self, stop: threading.Event) -> None:
        """Poll until `stop` is set."""
        keep_open(self.name, self.status, lambda: self._session(stop), stop, _REOPEN_CAP_S)

    def _unit(self, device: str, address: int, profile: Profile) -> _Unit:
        assert profile.modbus is not None, "a checked Modbus device has a Modbus profile"
        requests = plan(profile.modbus)
        timeout_s = self._timeout_s(profile.modbus, requests.requests[0])
        slave = Slave(device, round(NANOSECONDS / profile.rate_hz), round(timeout_s * NANOSECONDS))
        return _Unit(address, profile.modbus, requests, slave, Counters())

    def _timeout_s(self, modbus: ModbusRecord, request: Request) -> float:
        wire_s = 0.0 if self._baud is None else exchange_s(request, self._baud)
        return modbus.timeout_ms / 1_000 + wire_s

    def _session(self, stop: threading.Event) -> None:
        self._unanswered = 0
        with self._open() as line:
            master = ModbusMaster(line, self.status.counters, self._clock, stop, rtu=self._baud is not None)
            if self._baud is not None:  # a host that accepts and never answers is not up yet
                self.status.up()
            stop.wait(max(unit.modbus.pause_after_connect_ms for unit in self._units.values()) / 1_000)
            schedule = PollSchedule([unit.slave for unit in self._units.values()], self._clock.monotonic_ns())
            while not stop.is_set():
                now_ns = self._clock.monotonic_ns()
                slave = schedule.turn(now_ns)
                if slave is None:
                    stop.wait(min(schedule.wait_ns(now_ns) / NANOSECONDS, _LONGEST_WAIT_S))
                else:
                    self._poll(master, self._units[slave.device], schedule, stop)

    def _open(self) -> SerialLine | TcpLine:
        if isinstance(self._bus, SerialPlace):
            path = locate(self._bus.port, self._bus.identity, self._list_ports)
            return SerialLine(path, self._bus, streams=False)
        return TcpLine(self._bus.host, self._bus.port, _CONNECT_TIMEOUT_S)

    def _poll(self, master: ModbusMaster, unit: _Unit, schedule: PollSchedule, stop: threading.Event) -> None:
        try:
            record = unit.plan.record([self._ask(master, unit, request, stop) for request in unit.plan.requests])
        except SilentError as error:
            if stop.is_set():  # nobody waited for the answer
                return
            unit.counters.add("polls_garbled" if error.garbled else "polls_unanswered")
            self._silent(unit, schedule, garbled=error.garbled)
        except RefusedError as error:
            unit.counters.add(f"exception_{error.code}")
            self._refused(unit, schedule, error.code)
        else:
            self._answered(unit, schedule)
            self._tell(unit, None)
            device, arrived_ns = unit.slave.device, self._clock.monotonic_ns()
            self.status.last_arrival_ns[device] = arrived_ns
            self._buffer.put(Chunk(device, record, self._clock.now_ns(), monotonic_ns=arrived_ns))
        unit.counters.add("polls")
        if self._baud is None and self._unanswered >= len(self._units):
            raise LinkError(f"{self._bus.name} accepts connections and does not answer")

    def _ask(self, master: ModbusMaster, unit: _Unit, request: Request, stop: threading.Event) -> bytes:
        if stop.wait(self._pause_s):  # else a last request would go out without the silence before it
            raise SilentError(garbled=False)
        return master.ask(unit.address, request, self._timeout_s(unit.modbus, request))

    def _answered(self, unit: _Unit, schedule: PollSchedule) -> None:
        self._heard()
        unit.counters.add("polls_skipped", schedule.answered(unit.slave, self._clock.monotonic_ns()))

    def _refused(self, unit: _Unit, schedule: PollSchedule, code: int) -> None:
        if code in _SILENT_BEHIND_GATEWAY:
            self._heard()
            self._missed(unit, schedule)
        else:
            self._answered(unit, schedule)
        meaning = _EXCEPTIONS.get(code, "of its maker's own")
        self._tell(unit, f"unit {unit.address} at {self._bus.name} answers with exception {code}, {meaning}")

    def _heard(self) -> None:
        self._unanswered = 0
        if not self.status.is_open:
            self.status.up()

    def _silent(self, unit: _Unit, schedule: PollSchedule, *, garbled: bool) -> None:
        self._unanswered += 1
        self._missed(unit, schedule)
        if unit.slave.silent:
            what = "answers garbled: check baud rate, parity and termination" if garbled else "does not answer"
            self._tell(unit, f"unit {unit.address} at {self._bus.name} {what}")

    def _missed(self, unit: _Unit, schedule: PollSchedule) -> None:
        unit.counters.add("polls_skipped", schedule.failed(unit.slave, self._clock.monotonic_ns()))

    def _tell(self, unit: _Unit, fault: str | None) -> None:
        """Note how a slave fares; the log has it once, however long it lasts."""
        device, faults = unit.slave.device, self.status.faults
        if fault == faults.get(device):
            return
        if fault is None:
            del faults[device]
            log.info("%s: %s answers again", self.name, device)
        else:
            faults[device] = fault
            log.warning("%s: %s", self.name, fault)

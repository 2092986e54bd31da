"""Asks Modbus slaves over an open line, one at a time; the one module that speaks pymodbus.

pymodbus numbers, frames and parses. What it does beyond that is done here instead, for what its 3.16 synchronous clients do:
- they wait by the wall clock, so that a clock that is set back by an hour hangs a serial bus with a dead slave for an hour;
- one stray byte before an answer, as the turning round of an RS-485 line makes it, loses the answer;
- they take an answer to another function, or with fewer registers than were asked for, for the answer;
- a TCP connection is kept for ever where the peer accepts and never answers, and why a port could not be opened is only logged;
- retries block the bus for a time-out each, so there are none: the schedule knows better when to ask again.
They hold a lock while they wait for an answer; one thread owns all of this.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from pymodbus import ModbusException
from pymodbus.client.base import ModbusBaseSyncClient
from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest
from pymodbus.transport import CommParams, CommType

from agent.clock import Clock
from agent.decode.modbus_plan import Request
from agent.errors import LinkError
from agent.metrics import Counters
from agent.types import NANOSECONDS

_PDU: dict[str, Callable[..., ModbusPDU]] = {
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
    "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
}
_EXCEPTION_BIT = 0x80
# Never reached: our own deadline, by the monotonic clock, comes before it.
_NO_TIMEOUT_S = 3_600.0
# An answer has 260 bytes at most; behind it may come late ones. pymodbus looks through all that it holds at each new piece, so that a line
# that never falls silent would cost the square of its bytes.
_MOST_BYTES = 4_096
# How soon a stop is seen while an answer is awaited.
_LOOK_S = 0.25

# It logs every time-out and every attempt to connect as an error; both are counted and told here.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


class SilentError(LinkError):
    """No valid answer came in time; `garbled` where something came that was none."""

    def __init__(self, *, garbled: bool) -> None:
        self.garbled = garbled
        super().__init__("garbled" if garbled else "no answer")


class RefusedError(LinkError):
    """The slave answered with a Modbus exception."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"exception {code}")


class Line(Protocol):
    """An open serial line or connection."""

    def read(self, timeout_s: float) -> bytes:
        """What has arrived, nothing where it was silent; raises LinkError where it is gone."""
        ...

    def write(self, data: bytes) -> None:
        """Send all of `data`; raises LinkError where it is gone."""
        ...


class ModbusMaster:
    """Modbus RTU over a serial line, or Modbus TCP over a connection."""

    def __init__(self, line: Line, counters: Counters, clock: Clock, stop: threading.Event, *, rtu: bool) -> None:
        """In `counters`, noise_bytes are those that came before answers and belonged to none."""
        self._client = _Client(line, counters, clock, stop, rtu=rtu)
        self._tcp = not rtu

    def ask(self, unit: int, request: Request, timeout_s: float) -> bytes:
        """The data of the answer: two bytes a register, or a byte of 0 or 1 for each bit.

        Raises SilentError, RefusedError, and LinkError where the line is gone or no longer to be understood.
        """
        pdu = _PDU[request.table](address=request.address, count=request.count, dev_id=unit)
        self._client.arm(pdu, timeout_s)
        try:
            answer = self._client.execute(False, pdu)
        except ModbusException as error:
            raise self._unanswered() from error
        if answer.function_code == pdu.function_code | _EXCEPTION_BIT:
            raise RefusedError(answer.exception_code)
        data = _data(answer, request)
        if answer.function_code != pdu.function_code or data is None:
            raise self._unanswered()
        return data

    def _unanswered(self) -> LinkError:
        if self._tcp and self._client.heard:
            # Where one answer ends and the next begins is lost, and only a new connection brings it back.
            return LinkError("what came over the connection is no answer")
        return SilentError(garbled=self._client.heard)


def _data(answer: ModbusPDU, request: Request) -> bytes | None:
    """None where it is not as much as was asked for."""
    if request.is_truth:
        return bytes(answer.bits[: request.count]) if len(answer.bits) == 8 * request.answer_bytes else None
    if len(answer.registers) != request.count:
        return None
    return b"".join(register.to_bytes(2, "big") for register in answer.registers)


class _Client(ModbusBaseSyncClient):
    """pymodbus's client over a line of ours, with waiting of our own."""

    def __init__(self, line: Line, counters: Counters, clock: Clock, stop: threading.Event, *, rtu: bool) -> None:
        parameters = CommParams(
            comm_type=CommType.SERIAL if rtu else CommType.TCP, comm_name="bus", timeout_connect=_NO_TIMEOUT_S
        )
        super().__init__(FramerType.RTU if rtu else FramerType.SOCKET, 0, parameters, None, None, None)
        self._line = line
        self._counters = counters
        self._clock = clock
        self._stop = stop
        self._rtu = rtu
        self._sent = self._head = b""
        self._begun = False
        self._deadline_ns = 0
        self._taken_bytes = 0
        self.heard = False

    def arm(self, pdu: ModbusPDU, timeout_s: float) -> None:
        """Prepare for the answer to `pdu`."""
        self._deadline_ns = self._clock.monotonic_ns() + round(timeout_s * NANOSECONDS)
        self._head = bytes([pdu.dev_id, pdu.function_code])
        self._begun = not self._rtu
        self._taken_bytes = 0
        self.heard = False

    def connect(self) -> bool:
        return True

    def close(self) -> None:
        """The line is its opener's to close."""

    def send(self, request: bytes, addr: tuple[str, int] | None = None) -> int:  # noqa: ARG002 - UDP's
        if self._rtu:
            # A late answer to the last request looks exactly like one to this.
            self._counters.add("noise_bytes", len(self._line.read(0)))
        self._sent = request
        self._line.write(request)
        return len(request)

    def recv(self, size: int | None) -> bytes:  # noqa: ARG002 - always all there is
        """What belongs to the answer; nothing after the deadline or a stop, which pymodbus takes for a time-out."""
        held = b""
        while (left_ns := self._deadline_ns - self._clock.monotonic_ns()) > 0 and not self._stop.is_set():
            if not (data := self._line.read(min(left_ns / NANOSECONDS, _LOOK_S))):
                continue
            if self._begun:
                self.heard = True
                self._taken_bytes += len(data)
                return data if self._taken_bytes <= _MOST_BYTES else b""
            held += data
            if answer := _from_head(held, self._sent, self._head):
                self._counters.add("noise_bytes", len(held.removeprefix(self._sent)) - len(answer))
                self._begun = self.heard = True
                return answer
            if len(held) > _MOST_BYTES:  # the last byte may be the head's first
                self._counters.add("noise_bytes", len(held) - 1)
                self.heard, held = True, held[-1:]
        noise = held.removeprefix(self._sent)
        self._counters.add("noise_bytes", len(noise))
        self.heard = self.heard or bool(noise)
        return b""


def _from_head(held: bytes, sent: bytes, head: bytes) -> bytes:
    """`held` from the beginning of the answer on; nothing where that has not come yet.

    An adapter may echo what was sent, which begins like the answer; while all that came could be such an echo, more is awaited.
    """
    if sent.startswith(held):
        return b""
    held = held.removeprefix(sent)
    refusal = bytes([head[0], head[1] | _EXCEPTION_BIT])
    starts = [start for start in (held.find(head), held.find(refusal)) if start >= 0]
    return held[min(starts) :] if starts else b""

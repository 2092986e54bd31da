"""How a Modbus slave is read: its registers merged into the fewest requests that it allows, their answers into one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.decode.modbus_layout import is_truth, span
from agent.decode.schema import ModbusRecord, Register, RegisterTable

# Modbus over Serial Line 1.02, 2.5.1: a character has 11 bits; frames are 3.5 characters of silence apart, 1.75 ms above 19,200 baud.
_BITS_A_CHARACTER = 11
_SILENT_CHARACTERS = 3.5
_FAST_BAUD, _FAST_SILENCE_S = 19_200, 0.00175
_REQUEST_BYTES = 8
_ANSWER_OVERHEAD_BYTES = 5


@dataclass(frozen=True, slots=True)
class Request:
    """One read of `count` registers or bits of a table from `address` on."""

    table: RegisterTable
    address: int
    count: int

    @property
    def is_truth(self) -> bool:
        """True where it reads bits and not registers."""
        return self.table in {"coil", "discrete"}

    @property
    def answer_bytes(self) -> int:
        """Size of the data in an answer."""
        return (self.count + 7) // 8 if self.is_truth else 2 * self.count


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests, and for each field of the record in order: which answer holds it, from which byte to which."""

    requests: tuple[Request, ...]
    places: tuple[tuple[int, int, int], ...]

    def record(self, answers: Sequence[bytes]) -> bytes:
        """The record in answers to the requests: two bytes a register, or a byte of 0 or 1 for each bit."""
        return b"".join(answers[request][start:end] for request, start, end in self.places)

    def wire_s(self, baud: int, pause_s: float) -> float:
        """Seconds for which one poll occupies a serial line, slaves that answer at once assumed."""
        gap_s = max(silence_s(baud), pause_s)
        return sum(exchange_s(request, baud) + 2 * gap_s for request in self.requests)


def plan(modbus: ModbusRecord) -> Plan:
    """The fewest requests within the slave's limits; each field lies whole in one of them."""
    order = sorted(range(len(modbus.registers)), key=lambda index: _key(modbus.registers[index]))
    requests: list[Request] = []
    home: dict[int, int] = {}
    for index in order:
        register = modbus.registers[index]
        merged = _merged(requests[-1], register, modbus) if requests else None
        if merged is None:
            requests.append(Request(register.table, register.address, span(register)))
        else:
            requests[-1] = merged
        home[index] = len(requests) - 1
    places = tuple(_place(home[index], requests, register) for index, register in enumerate(modbus.registers))
    return Plan(tuple(requests), places)


def silence_s(baud: int) -> float:
    """Seconds of silence between two frames on a serial line."""
    return _FAST_SILENCE_S if baud > _FAST_BAUD else _SILENT_CHARACTERS * _BITS_A_CHARACTER / baud


def exchange_s(request: Request, baud: int) -> float:
    """Seconds that the characters of a request and its answer take on a serial line."""
    characters = _REQUEST_BYTES + _ANSWER_OVERHEAD_BYTES + request.answer_bytes
    return characters * _BITS_A_CHARACTER / baud


def _key(register: Register) -> tuple[str, int, int]:
    return register.table, register.address, span(register)


def _merged(request: Request, register: Register, modbus: ModbusRecord) -> Request | None:
    """The request widened to `register`, or None where the slave does not allow that."""
    if modbus.one_request_per_field or request.table != register.table:
        return None
    gap = register.address - (request.address + request.count)
    count = max(request.count, register.address + span(register) - request.address)
    most = modbus.max_bits if is_truth(register) else modbus.max_registers
    if gap > modbus.max_gap or count > most:
        return None
    return Request(request.table, request.address, count)


def _place(home: int, requests: Sequence[Request], register: Register) -> tuple[int, int, int]:
    size = 1 if is_truth(register) else 2
    start = (register.address - requests[home].address) * size
    return home, start, start + span(register) * size

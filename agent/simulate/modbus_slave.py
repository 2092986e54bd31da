"""A simulated Modbus slave behind a TCP port; it is pymodbus's server that speaks, over the registers of the latest record."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Coroutine
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from agent.decode.modbus_layout import is_truth, span
from agent.decode.schema import ModbusRecord, RegisterTable
from agent.errors import LinkError

_TABLE_OF_FUNCTION: dict[int, RegisterTable] = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
_BITS = (1, 2)
_EVERY_UNIT = 0
_WAIT_S = 5.0

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


class ModbusSlave:
    """An outlet that keeps each record it is sent for whoever asks next, whatever unit is asked."""

    def __init__(self, layout: ModbusRecord, host: str, port: int) -> None:
        self.unsent = 0
        self._layout = layout
        self._address = (host, port)
        self._tables: dict[RegisterTable, list[int]] = {table: [0] * size for table, size in _sizes(layout).items()}
        self._server: ModbusTcpServer | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="modbus", daemon=True)

    @property
    def name(self) -> str:
        return "modbus tcp {}:{}".format(*self._address)

    def plug(self) -> None:
        if not self._thread.is_alive():
            self._thread.start()
        try:
            with socket.create_server(self._address):  # pymodbus only logs why it cannot listen
                pass
        except OSError as error:
            raise LinkError(f"cannot listen on {self.name}: {error.strerror}") from error
        self._wait(self._serve())

    def unplug(self) -> None:
        if self._server is not None:
            self._wait(self._server.shutdown())  # type: ignore[no-untyped-call]
        self._server = None

    def send(self, topic: str, data: bytes) -> None:  # noqa: ARG002 - a slave has no topics
        position = 0
        for register in self._layout.registers:
            table, at = self._tables[register.table], register.address
            if is_truth(register):
                table[at] = data[position]
                position += 1
                continue
            for offset in range(span(register)):
                table[at + offset] = int.from_bytes(data[position : position + 2], "big")
                position += 2

    async def _serve(self) -> None:
        self._server = ModbusTcpServer(self._device(), address=self._address)
        await self._server.serve_forever(background=True)

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_WAIT_S)

    def _device(self) -> SimDevice:
        def block(table: RegisterTable) -> list[SimData]:
            truth = table in {"coil", "discrete"}
            values: list[Any] = [False if truth else 0] * len(self._tables[table])
            return [SimData(0, values=values, datatype=DataType.BITS if truth else DataType.REGISTERS)]

        return SimDevice(
            _EVERY_UNIT,
            simdata=(block("coil"), block("discrete"), block("holding"), block("input")),
            use_bit_addressing=True,
            action=self._answer,
        )

    async def _answer(  # noqa: PLR0917 - pymodbus's signature
        self, function: int, start: int, address: int, count: int, values: list[int], new: list[int] | list[bool] | None
    ) -> ExcCodes | None:
        if new is not None or function not in _TABLE_OF_FUNCTION:
            return ExcCodes.ILLEGAL_FUNCTION
        table = self._tables[_TABLE_OF_FUNCTION[function]]
        if function in _BITS:  # which pymodbus holds 16 in a word, and asks for by words
            first = address // 16
            values[first - start : first - start + count] = _words(table[16 * first : 16 * (first + count)])
        else:
            values[address - start : address - start + count] = table[address : address + count]
        return None


def _words(bits: list[int]) -> list[int]:
    """The lowest bit first."""
    return [sum(bit << place for place, bit in enumerate(bits[at : at + 16])) for at in range(0, len(bits), 16)]


def _sizes(layout: ModbusRecord) -> dict[RegisterTable, int]:
    """Addresses of each table, in whole words of bits and 16 at least: pymodbus knows no empty table."""
    sizes: dict[RegisterTable, int] = dict.fromkeys(_TABLE_OF_FUNCTION.values(), 1)
    for register in layout.registers:
        sizes[register.table] = max(sizes[register.table], register.address + span(register))
    return {table: -(-size // 16) * 16 for table, size in sizes.items()}

"""Modbus slaves that are pymodbus's own server, over TCP or at the far end of a cable of two pseudo-terminals."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import select
import threading
import time
import tty
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.harness.broker import PATIENCE_S, free_port

HOST = "127.0.0.1"
SIZE = 200  # registers of each table


class Slaves:
    """Units with their registers, which may change at any time; every request they get is noted with its moment."""

    def __init__(self, registers: Mapping[int, list[int]], bits: list[bool] | None = None) -> None:
        self.registers = {unit: values + [0] * (SIZE - len(values)) for unit, values in registers.items()}
        self.bits = (bits or []) + [False] * (SIZE - len(bits or []))
        self.asked: defaultdict[int, list[tuple[float, int, int, int]]] = defaultdict(
            list
        )  # s, function, address, count
        self.refusing: dict[int, ExcCodes] = {}
        self.dead: set[int] = set()
        self.noise = b""  # before every answer
        self._server: Any = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="slaves", daemon=True)

    def listen_tcp(self, port: int = 0) -> int:
        """Serve Modbus TCP; returns the port."""
        port = port or free_port()
        self._run(self._serve(lambda: ModbusTcpServer(self._devices(), address=(HOST, port), trace_packet=self._tcp)))
        return port

    def listen_rtu(self, path: str, baud: int = 115_200) -> None:
        """Serve Modbus RTU on a serial port."""
        self._run(
            self._serve(lambda: ModbusSerialServer(self._devices(), port=path, baudrate=baud, trace_packet=self._rtu))
        )

    def hang_up(self) -> None:
        """End the server and its connections."""
        self._run(self._server.shutdown())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            with contextlib.suppress(Exception):
                self.hang_up()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _serve(self, make: Any) -> None:
        self._server = make()
        await self._server.serve_forever(background=True)

    def _devices(self) -> list[SimDevice]:
        def registers(kind: DataType) -> list[SimData]:
            return [SimData(0, values=[0] * SIZE, datatype=kind)]

        bits = [SimData(0, values=self.bits, datatype=DataType.BITS)]
        words = registers(DataType.REGISTERS)
        return [
            SimDevice(unit, simdata=(bits, bits, words, words), action=functools.partial(self._answer, unit))
            for unit in self.registers
        ]

    async def _answer(
        self, unit: int, function: int, start: int, address: int, count: int, values: list[int], _set: Any
    ) -> ExcCodes | None:
        self.asked[unit].append((time.monotonic(), function, address, count))
        if function in {3, 4}:
            values[address - start : address - start + count] = self.registers[unit][address : address + count]
        return self.refusing.get(unit)

    def _rtu(self, sending: bool, data: bytes) -> bytes:
        return self._mute(data, data[0]) if sending else data

    def _tcp(self, sending: bool, data: bytes) -> bytes:
        return self._mute(data, data[6]) if sending else data

    def _mute(self, data: bytes, unit: int) -> bytes:
        return b"" if unit in self.dead else self.noise + data


class Cable:
    """Two pseudo-terminals joined: the agent opens `path`, a link that comes and goes, the slaves open `far`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._far, self._far_port = os.openpty()
        tty.setraw(self._far_port)
        self.far = os.ttyname(self._far_port)
        self._near: int | None = None
        self._near_port: int | None = None
        self._plugged = 0  # times: the kernel may give the next one the descriptors of the last
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._pump, name="cable", daemon=True)
        self.echo = False  # as a two-wire adapter that hears itself

    def plug(self) -> None:
        """Appear at `path`."""
        with self._lock:
            self._near, self._near_port = os.openpty()
            tty.setraw(self._near_port)
            self._plugged += 1
            self.path.symlink_to(os.ttyname(self._near_port))

    def unplug(self) -> None:
        """Vanish: whoever has it open gets an error from now on."""
        with self._lock:
            assert self._near is not None
            assert self._near_port is not None
            self.path.unlink()
            os.close(self._near)
            os.close(self._near_port)
            self._near = None

    def say(self, data: bytes) -> None:
        """Put bytes of nobody's on the agent's end."""
        with self._lock:
            assert self._near is not None
            os.write(self._near, data)

    def __enter__(self) -> Self:
        self.plug()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)
        if self._near is not None:
            self.unplug()
        os.close(self._far)
        os.close(self._far_port)

    def _pump(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                near, plugged = self._near, self._plugged
            try:
                ready = select.select([self._far] if near is None else [self._far, near], [], [], 0.02)[0]
            except OSError:  # unplugged meanwhile
                continue
            with self._lock:
                if near is None or self._near is None or plugged != self._plugged:
                    continue
                for end in ready:
                    data = os.read(end, 4096)
                    os.write(self._far if end == near else near, data)
                    if end == near and self.echo:
                        os.write(near, data)

"""What every source keeps: bytes in order and whole, arrival stamps, a status that tells the truth, and a prompt stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.publish
import pytest

from agent.clock import SystemClock
from agent.config.broker import Broker as Address
from agent.config.checked import Connection, SerialPlace
from agent.sources.buffer import ChunkBuffer
from agent.sources.link import Source
from agent.sources.mqtt_topic import MqttSource
from agent.sources.replay import ReplaySource
from agent.sources.serial_port import SerialSource
from agent.types import Chunk
from tests.harness.broker import Broker, wait_until
from tests.harness.pty_device import PtyDevice
from tests.harness.reading import collect, joined, running

PIECES = [bytes([i]) * (i + 1) for i in range(60)]
WHOLE = b"".join(PIECES)


@dataclass
class Rig:
    """A source, its buffer, and the sender at the other end of its link."""

    source: Source
    buffer: ChunkBuffer
    send: Callable[[list[bytes]], None]
    hears: Callable[[], bool] = lambda: True


def _serial(tmp_path: Path) -> Iterator[Rig]:
    buffer = ChunkBuffer(1_000_000)
    with PtyDevice(tmp_path / "tty") as device:
        source = SerialSource("d", SerialPlace(str(device.path), 115_200, "none", 1), buffer, SystemClock())
        yield Rig(source, buffer, lambda pieces: device.write(b"".join(pieces)))


def _mqtt(tmp_path: Path) -> Iterator[Rig]:
    buffer = ChunkBuffer(1_000_000)
    with Broker(tmp_path) as broker:
        connection = Connection(Address(broker.host, broker.port, tls=False))
        source = MqttSource(connection, {"d": "plant/d"}, "contract", buffer, SystemClock())

        def send(pieces: list[bytes]) -> None:
            messages = [("plant/d", piece, 1, False) for piece in pieces]
            paho.mqtt.publish.multiple(messages, broker.host, broker.port)

        yield Rig(source, buffer, send, lambda: "Sending SUBACK to contract" in broker.log())


def _replay(_: Path) -> Iterator[Rig]:
    buffer = ChunkBuffer(1_000_000)
    pending: list[bytes] = []

    def chunks() -> Iterator[Chunk]:
        while not pending:
            time.sleep(0.01)
        yield from (Chunk("d", piece, time.time_ns()) for piece in pending)

    yield Rig(ReplaySource(chunks(), buffer, SystemClock()), buffer, pending.extend)


@pytest.fixture(params=[_serial, _mqtt, _replay], ids=["serial", "mqtt", "replay"])
def rig(request, tmp_path):
    yield from request.param(tmp_path)


def _ready(rig):
    wait_until(lambda: rig.source.status.is_open, 30.0, "the source opened")
    wait_until(rig.hears, 30.0, "the subscription")


def test_bytes_arrive_whole_in_order_and_stamped(rig):
    with running(rig.source):
        _ready(rig)
        before_ns = time.time_ns()
        rig.send(PIECES)
        chunks = collect(rig.buffer, len(WHOLE))
        assert joined(chunks, "d") == WHOLE
        stamps = [chunk.arrived_ns for chunk in chunks]
        assert stamps == sorted(stamps)
        assert before_ns <= stamps[0]
        assert stamps[-1] <= time.time_ns()
        assert rig.source.status.last_arrival_ns["d"] <= time.monotonic_ns()
    assert rig.buffer.balance().missing == 0


def test_status_tells_whether_the_link_is_open(rig):
    status = rig.source.status
    assert (status.is_open, status.opened, status.last_arrival_ns) == (False, 0, {})
    with running(rig.source):
        _ready(rig)
        assert status.opened == 1
        rig.send([b"x"])
        collect(rig.buffer, 1)
    assert not status.is_open


def test_a_silent_source_stops_promptly_and_has_no_error(rig):
    with running(rig.source):
        _ready(rig)
        rig.send([b"last"])
        collect(rig.buffer, 4)
    assert rig.source.status.error == ""


def test_a_buffer_that_is_full_never_stops_the_reader(rig):
    rig.buffer._max_bytes = 100
    with running(rig.source):
        _ready(rig)
        rig.send(PIECES)
        wait_until(lambda: rig.buffer.balance().entered == len(WHOLE), 30.0, "all bytes read")
    balance = rig.buffer.balance()
    assert balance.dropped >= len(WHOLE) - 100
    assert balance.missing == 0

"""Where a simulated device speaks: a port that comes and goes and answers, a broker with its will, a Modbus slave."""

from __future__ import annotations

import os
import select
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from agent.clock import SystemClock
from agent.config.broker import Broker as Address
from agent.config.checked import TcpPlace
from agent.decode.decoder import Decoder
from agent.decode.profile import Profile
from agent.decode.schema import StartupCommand
from agent.errors import LinkError
from agent.simulate.answers import Answers
from agent.simulate.data import Rows
from agent.simulate.device import Device, samples
from agent.simulate.modbus_slave import ModbusSlave
from agent.simulate.outlets import MqttTopics, PtyPort
from agent.simulate.run import simulate
from agent.simulate.schedule import Schedule, parse_schedule
from agent.sources.buffer import ChunkBuffer
from agent.sources.modbus_bus import ModbusBus
from tests.harness.broker import Broker, Subscriber, free_port, wait_until
from tests.harness.command_line import stethos
from tests.harness.profiles import make, shipped
from tests.harness.reading import running

SLAVE = """
framing = { kind = "message" }
time = { kind = "arrival" }
channel = [
  { name = "temperature", unit = "Cel", scale = 0.1 }, { name = "energy", unit = "W.h" }, { name = "run", unit = "1" },
  { name = "door", unit = "1" },
]
[modbus]
word_order = "CDAB"
registers = [
  { name = "temperature", table = "input", address = 7, type = "i16" },
  { name = "energy", table = "holding", address = 100, type = "u32" },
  { name = "run", table = "coil", address = 3 },
  { name = "door", table = "discrete", address = 0 },
]
"""


def slave_profile() -> Profile:
    return make(SLAVE, transport="modbus", rate_hz=20.0)


def test_a_simulated_modbus_slave_answers_with_the_latest_sample(tmp_path: Path) -> None:

    profile, port = slave_profile(), free_port()
    rows = np.tile([-12.5, 70_000.0, 1.0, 0.0], (200, 1))
    rows[100:, 3] = 1.0
    device = Device(profile, Rows(rows), Schedule(), 0)
    slave, stop = ModbusSlave(profile.modbus, "127.0.0.1", port), threading.Event()
    thread = threading.Thread(target=simulate, args=(device, slave, stop, SystemClock()))
    buffer = ChunkBuffer(1_000_000)
    bus = ModbusBus(TcpPlace("127.0.0.1", port), {"meter": (17, profile)}, buffer, SystemClock())
    decoder, seen = Decoder(profile, "meter"), []

    def looked() -> bool:
        batch = decoder.feed(buffer.take(0))
        seen.extend([] if batch is None else batch.values.tolist())
        return bool(seen) and seen[-1][3] == 1.0

    thread.start()
    try:
        with running(bus):
            wait_until(looked, 30.0, "the door's new state")
    finally:
        stop.set()
        thread.join(30.0)
    assert seen[-1] == pytest.approx([-12.5, 70_000.0, 1.0, 1.0])
    assert [-12.5, 70_000.0, 1.0, 0.0] in [pytest.approx(row) for row in seen]


def test_a_port_that_is_taken_is_an_error_that_names_it() -> None:
    profile = slave_profile()
    with Taken() as port, pytest.raises(LinkError, match=f"cannot listen on modbus tcp 127.0.0.1:{port}"):
        ModbusSlave(profile.modbus, "127.0.0.1", port).plug()


class Taken:
    """A TCP port that somebody else listens on."""

    def __enter__(self) -> int:

        self._server = socket.create_server(("127.0.0.1", 0))
        return int(self._server.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._server.close()


def test_a_port_answers_start_up_commands_and_sends_frames(tmp_path: Path) -> None:
    commands = [
        StartupCommand(send="rate 1000\r\n", expect=r"^rate 1000 ok\."),
        StartupCommand(send_hex="01 02", expect_hex="06"),
        StartupCommand(send="id?", expect="[0-9]+"),
    ]
    port = PtyPort(tmp_path / "tty", Answers(commands).feed)
    port.plug()
    host = os.open(port.name, os.O_RDWR | os.O_NOCTTY)
    try:
        for piece, answer in ((b"rate 10", b""), (b"00\r\n", b"rate 1000 ok."), (b"\x01\x02", b"\x06"), (b"id?", b"")):
            os.write(host, piece)
            assert select.select([port._far], [], [], 30)[0], "the kernel brings it over in its own time"
            port.send("", b"|")
            assert os.read(host, 100) == answer + b"|"
    finally:
        os.close(host)
        port.unplug()
    assert not (tmp_path / "tty").exists()


def test_what_nobody_reads_is_counted_and_waited_for_by_nobody(tmp_path: Path) -> None:
    port = PtyPort(None, Answers([]).feed)
    port.plug()
    for _ in range(100):
        port.send("", bytes(1_000))
    port.unplug()
    assert port.unsent > 50_000


def test_unplugged_from_its_broker_a_sparkplug_node_leaves_its_death(tmp_path: Path) -> None:
    profile = shipped("sparkplug-node")
    schedule = parse_schedule(["unplug@0s"])
    device = Device(profile, samples(profile, Schedule(), 0, None, None), schedule, 0, "plant/node")
    with Broker(tmp_path) as broker, Subscriber(broker.host, broker.port, "spBv1.0/#") as subscriber:
        outlet = MqttTopics(Address(broker.host, broker.port, tls=False), device.will())
        simulate(device, outlet, threading.Event(), SystemClock(), seconds=0.5, speed=100)
        subscriber.wait_for(lambda messages: any("NDEATH" in message.topic for message in messages))


def test_messages_go_to_their_topic(tmp_path: Path) -> None:
    profile = shipped("drive-json")
    device = Device(profile, samples(profile, Schedule(), 0, None, None), Schedule(), 0, "plant/drive")
    with Broker(tmp_path) as broker, Subscriber(broker.host, broker.port, "plant/#") as subscriber:
        outlet = MqttTopics(Address(broker.host, broker.port, tls=False), device.will())
        simulate(device, outlet, threading.Event(), SystemClock(), seconds=2, speed=20)
        messages = subscriber.wait_for(lambda messages: len(messages) == 20)
    assert {message.topic for message in messages} == {"plant/drive"}
    assert outlet.unsent == 0


def test_a_broker_that_is_not_there_is_an_error_that_names_it() -> None:
    outlet = MqttTopics(Address("127.0.0.1", free_port(), tls=False), None)
    with pytest.raises(LinkError, match=r"cannot connect to mqtt://127\.0\.0\.1"):
        outlet.plug()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["drive-json"], "give --mqtt and --topic"),
        (["drive-json", "--mqtt", "mqtt://localhost"], "give --mqtt and --topic"),
        (["drive-json", "--mqtt", "localhost", "--topic", "t"], "no broker address"),
        (["accel3-cobs", "--tcp", "localhost:502"], "it may have --pty"),
        (["accel3-cobs", "--model", "motor", "--data", "/dev/null"], "not both"),
        (["accel3-cobs", "--fault", "bearing-outer@0s"], "add --model motor"),
        (["accel3-cobs", "--model", "pump"], "nothing in '[g]'"),
        (["acel3-cobs"], "did you mean 'accel3-cobs'"),
    ],
)
def test_options_that_do_not_fit_are_said_with_exit_code_2(arguments: list[str], why: str) -> None:
    found = stethos("simulate", *arguments)
    assert found.exit_code == 2
    assert why in found.output

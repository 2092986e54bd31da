"""MQTT messages a second from the broker to windows, beside a bare paho loop that drops what it receives."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.clock import SystemClock
from agent.config.broker import parse_broker
from agent.config.checked import Connection
from agent.decode.decoder import Decoder
from agent.decode.profile import parse_profile
from agent.sources.mqtt_topic import MqttSource
from agent.window.aligner import Aligner
from agent.window.contract import Contract, ContractChannel
from tests.bench import fleet
from tests.bench.figures import Figure, significant
from tests.bench.reading import Reader, Spent, timed
from tests.bench.rounds import alternate, compare
from tests.harness.broker import Broker, wait_until

_MESSAGES = 40_000
_STREAMS = 10
_ROUNDS = 7
_SUBSCRIBED_S = 0.3  # after it has connected, which is when it asks for its topics
# MQTT 3.1.1 CONNECT with a clean session and the client id "fl".
_CONNECT = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02fl"
_DISCONNECT = b"\xe0\x00"


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flood = folder / "flood"
        flood.write_bytes(b"".join([_CONNECT, *_packets(), _DISCONNECT]))
        # Without a bound of its own the broker keeps what a subscriber has not read yet: nothing is lost on the way.
        with Broker(folder, ["max_queued_messages 0", "log_type error"]) as broker:
            ours: list[Spent] = []
            bare: list[Spent] = []
            found = alternate(
                lambda: _note(ours, _ours(broker, flood, len(ours))), lambda: _note(bare, _bare(broker, flood)), _ROUNDS
            )
    cpu = compare([(one.cpu_us, other.cpu_us) for one, other in zip(ours, bare, strict=True)])
    against = (
        f"bare paho loop: {found.bare:,.0f} messages/s and {cpu.bare:.0f} µs of processor time each, "
        f"here {found.ours:,.0f} and {cpu.ours:.0f} µs ({cpu.ratio:.2f} times); no message was lost"
    )
    yield Figure("mqtt_in.json", significant(found.ratio), "of bare speed", against, ">= 0.6")


def _note(spent: list[Spent], found: Spent) -> float:
    spent.append(found)
    return found.rate


def _ours(broker: Broker, flood: Path, number: int) -> Spent:
    devices = [fleet.device_name(stream) for stream in range(_STREAMS)]
    filters = {device: fleet.topic(stream) for stream, device in enumerate(devices)}
    connection = Connection(parse_broker(broker.url))
    profile = parse_profile(fleet.PROFILE, "node.toml")
    channels = [ContractChannel(name=name, unit="1") for name in fleet.NAMES]
    contract = Contract(channels=channels, rate_hz=fleet.RATE_HZ, window=fleet.WINDOW, hop=fleet.HOP)
    feeds = [(row, row) for row in range(fleet.CHANNELS)]
    reader = Reader(
        lambda buffer: MqttSource(connection, filters, f"bench-{number}", buffer, SystemClock()),
        {device: Decoder(profile, device) for device in devices},
        {device: Aligner(device, contract, {device: feeds}, 0) for device in devices},
    )
    with reader.running():
        wait_until(lambda: reader.source.status.is_open, 10.0, "a connection to the broker")
        time.sleep(_SUBSCRIBED_S)
        return timed(lambda: _send(broker, flood), lambda: reader.count("samples"), _MESSAGES)


def _bare(broker: Broker, flood: Path) -> Spent:
    received = 0

    def drop(*_: object) -> None:
        nonlocal received
        received += 1

    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_message = drop
    client.connect(broker.host, broker.port)
    client.subscribe("plant/#", qos=1)
    thread = threading.Thread(target=client.loop_forever)
    thread.start()
    time.sleep(_SUBSCRIBED_S)
    spent = timed(lambda: _send(broker, flood), lambda: received, _MESSAGES)
    client.disconnect()
    thread.join()
    return spent


def _send(broker: Broker, flood: Path) -> None:
    """In a process of its own, as fast as the broker takes it."""
    # Closing before the broker has read all would be a reset; with -t it waits for the broker to hang up.
    command = ["socat", "-b65536", "-t60", "-", f"TCP:{broker.host}:{broker.port}"]
    with flood.open("rb") as file:
        subprocess.Popen(command, stdin=file, stdout=subprocess.DEVNULL)


def _packets() -> Iterator[bytes]:
    """PUBLISH at QoS 0, one sample of each stream in turn."""
    rows = fleet.signal(_MESSAGES // _STREAMS, seed=2)
    for n, row in enumerate(rows):
        sample = fleet.payload(n, row, fleet.START_NS + n * fleet.STEP_NS)
        for stream in range(_STREAMS):
            topic = fleet.topic(stream).encode()
            body = len(topic).to_bytes(2, "big") + topic + sample
            yield b"\x30" + _variable(len(body)) + body


def _variable(length: int) -> bytes:
    """A length below 16,384 as MQTT writes it (1.5.5): seven bits a byte, the least first."""
    return bytes([length]) if length < 128 else bytes([length % 128 | 128, length // 128])

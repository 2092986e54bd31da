"""A flood of MQTT messages, as fast as the broker takes them, that we read in turns with a bare paho loop that drops them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.bench.reading import Reader, Spent, timed
from tests.bench.rounds import Compared, alternate, compare
from tests.harness.broker import Broker, wait_until

_SUBSCRIBED_S = 0.3  # after it has connected, which is when it asks for its topics
# MQTT 3.1.1 CONNECT with a clean session and the client id "fl".
_CONNECT, _DISCONNECT = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02fl", b"\xe0\x00"


def packet(topic: str, payload: bytes) -> bytes:
    """PUBLISH at QoS 0."""
    name = topic.encode()
    body = len(name).to_bytes(2, "big") + name + payload
    return b"\x30" + _variable(len(body)) + body


class Flood:
    """A broker, and a file of what a client sends it."""

    def __init__(self, broker: Broker, file: Path) -> None:
        self.broker = broker
        self._file = file

    def read(self, reader: Reader, samples: int) -> Spent:
        """Our way, from the broker to windows."""
        with reader.running():
            wait_until(lambda: reader.source.status.is_open, 10.0, "a connection to the broker")
            time.sleep(_SUBSCRIBED_S)
            return timed(self._send, lambda: reader.count("samples"), samples)

    def drop(self, topic: str, messages: int) -> Spent:
        """The bare way, which counts them."""
        received = 0

        def count(*_: object) -> None:
            nonlocal received
            received += 1

        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.on_message = count
        client.connect(self.broker.host, self.broker.port)
        client.subscribe(topic, qos=1)
        client.loop_start()
        try:
            time.sleep(_SUBSCRIBED_S)
            return timed(self._send, lambda: received, messages)
        finally:
            client.disconnect()
            client.loop_stop()

    def _send(self) -> None:
        """In a process of its own."""
        # Closing before the broker has read all would be a reset; with -t it waits for the broker to hang up.
        command = ["socat", "-b65536", "-t60", "-", f"TCP:{self.broker.host}:{self.broker.port}"]
        with self._file.open("rb") as file:
            subprocess.Popen(command, stdin=file, stdout=subprocess.DEVNULL)


@contextmanager
def flood(folder: Path, packets: Iterable[bytes]) -> Iterator[Flood]:
    file = folder / "flood"
    file.write_bytes(b"".join([_CONNECT, *packets, _DISCONNECT]))
    # Without a bound of its own the broker keeps what a subscriber has not read yet: nothing is lost on the way.
    with Broker(folder, ["max_queued_messages 0", "log_type error"]) as broker:
        yield Flood(broker, file)


def race(ours: Callable[[int], Spent], bare: Callable[[], Spent], rounds: int) -> tuple[Compared, Compared]:
    """Messages a second, and microseconds of this process's time for each; `ours` is told its turn."""
    our_turns: list[Spent] = []
    bare_turns: list[Spent] = []

    def rate(turns: list[Spent], spent: Spent) -> float:
        turns.append(spent)
        return spent.rate

    speed = alternate(lambda: rate(our_turns, ours(len(our_turns))), lambda: rate(bare_turns, bare()), rounds)
    return speed, compare([(one.cpu_us, other.cpu_us) for one, other in zip(our_turns, bare_turns, strict=True)])


def _variable(length: int) -> bytes:
    """A length as MQTT writes it (1.5.5): seven bits a byte, the least first."""
    groups = bytearray()
    while length > 127:
        groups.append(length & 127 | 128)
        length >>= 7
    return bytes([*groups, length])

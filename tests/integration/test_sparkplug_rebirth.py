"""A Sparkplug node that was born before us, through a real mosquitto: it is asked for its births where that is allowed, and only there."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from agent.clock import SystemClock
from agent.config.broker import Broker as Address
from agent.config.checked import Connection
from agent.decode.decoder import Decoder
from agent.pipeline.pipeline import Pipeline
from agent.sensors.watch import SensorWatch
from agent.sources.buffer import ChunkBuffer
from agent.sources.mqtt_topic import MqttSource
from agent.types import Command
from agent.upstream.compose import Composer
from agent.upstream.topics import Topics
from tests.harness import small_plant
from tests.harness.agent_folder import contract, energy_bundle
from tests.harness.broker import Broker, Subscriber, wait_until
from tests.harness.daemon import Daemon
from tests.harness.profiles import shipped
from tests.harness.reading import running
from tests.harness.sparkplug_peer import EdgeNode

FILTER = "spBv1.0/plant/+/node/#"


class Reader:
    """The source and the pipeline of the one device."""

    def __init__(self, broker: Broker, *, may_tell: bool) -> None:
        profile = shipped("sparkplug-node")
        self.buffer = ChunkBuffer(1_000_000)
        connection = Connection(Address(broker.host, broker.port, tls=False))
        self.source = MqttSource(connection, {"d": FILTER}, "test-in", self.buffer, SystemClock())
        self.pipeline = Pipeline(
            {"d": Decoder(profile, "d")},
            {"d": SensorWatch(profile)},
            [],
            Composer(Topics("stethos", "box"), "boot", {}),
            {"d": partial(self.source.request_rebirth, "d")} if may_tell else None,
        )

    def counted(self, name: str) -> int:
        """A counter of the decoder or of the source, after what has arrived was read."""
        self.pipeline.step(self.buffer.take(0.05))
        return {**self.pipeline.decoders["d"].counters.snapshot(), **self.source.status.counts("d")}.get(name, 0)


def subscribed(broker: Broker, source: MqttSource) -> None:
    wait_until(lambda: source.status.is_open, 30, "connected")
    wait_until(lambda: "Sending SUBACK to test-in" in broker.log(), 30, "subscribed")


def test_a_node_born_before_us_is_asked_once_and_then_read(broker: Broker) -> None:
    reader = Reader(broker, may_tell=True)
    with running(reader.source), EdgeNode(broker.host, broker.port) as node:
        subscribed(broker, reader.source)
        for value in range(10):
            node.temperature(float(value))
        wait_until(lambda: reader.counted("births") == 2, 30, "the births of node and pump")
        unborn = reader.counted("unborn")
        node.temperature(42.0)
        wait_until(lambda: reader.counted("samples") == 3, 30, "a sample by alias behind the two births")
    assert 1 <= unborn == reader.counted("unborn") <= 10
    assert reader.counted("rebirths_requested") == len(node.commands) == 1
    assert reader.counted("rebirths_dropped") == reader.counted("lost") == 0


def test_without_leave_not_a_word_is_said(broker: Broker) -> None:
    reader = Reader(broker, may_tell=False)
    with running(reader.source), EdgeNode(broker.host, broker.port) as node:
        subscribed(broker, reader.source)
        for value in range(3):
            node.temperature(float(value))
        wait_until(lambda: reader.counted("unborn") == 3, 30, "three messages of an unborn node")
    assert node.commands == []
    assert "Received PUBLISH from test-in" not in broker.log()


def test_what_finds_no_connection_is_dropped_and_counted(broker: Broker) -> None:
    reader = Reader(broker, may_tell=True)
    reader.source.request_rebirth("d", Command("spBv1.0/plant/NCMD/node", b""))
    assert reader.source.status.counts("d") == {"rebirths_dropped": 1}
    with running(reader.source), EdgeNode(broker.host, broker.port) as node:
        subscribed(broker, reader.source)
        for _ in range(1_000):
            reader.source.request_rebirth("d", Command("spBv1.0/plant/NCMD/node", b""))
        wait_until(lambda: bool(node.commands), 30, "a command that was taken")
    counts = reader.source.status.counts("d")
    assert counts["rebirths_requested"] + counts["rebirths_dropped"] == 1_001
    assert counts["rebirths_dropped"] > 1


def test_the_daemon_asks_by_its_configuration(tmp_path: Path, broker: Broker) -> None:
    channels = [(channel.name, channel.unit) for channel in shipped("sparkplug-node").channel]
    (tmp_path / "pump.stethos").write_bytes(energy_bundle(contract(*channels, rate_hz=1.0, hold_cells=3)))
    place = f'mqtt = {{ broker = "{broker.url}", topic = "{FILTER}", request_rebirth = true }}'
    config = small_plant.write(
        tmp_path,
        broker.url,
        small_plant.device("d", "sparkplug-node", place),
        small_plant.machine("pump", "pump.stethos", [f"d.{name}" for name, _ in channels]),
    )
    topic = "stethos/line-3/device/d/health"
    with (
        Daemon(config),
        Subscriber(broker.host, broker.port, topic) as consumer,
        EdgeNode(broker.host, broker.port) as node,
    ):
        wait_until(lambda: "SUBACK to stethos-line-3-in-0" in broker.log(), 30, "the daemon subscribed")
        node.temperature(1.0)
        wait_until(lambda: bool(node.commands), 30, "the command")
        node.temperature(2.0)
        messages = consumer.wait_for(lambda seen: bool(seen) and _link(seen[-1].payload).get("samples", 0) >= 2)
    link = _link(messages[-1].payload)
    assert (link["births"], link["rebirths_requested"]) == (2, 1)


def _link(payload: bytes) -> dict[str, int]:
    found: dict[str, int] = json.loads(payload)["link"]
    return found

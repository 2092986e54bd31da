"""Brokers behind a firewall that drops: connecting hangs, and a stop waits for none of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.config.broker import Broker as Address
from agent.config.checked import Connection
from agent.sources.buffer import ChunkBuffer
from agent.sources.mqtt_topic import MqttSource
from tests.harness import small_plant
from tests.harness.agent_folder import contract, energy_bundle
from tests.harness.black_hole import BlackHole
from tests.harness.broker import Broker, wait_until
from tests.harness.daemon import Daemon
from tests.harness.profiles import shipped


@pytest.fixture
def hole() -> Iterator[BlackHole]:
    with BlackHole() as hole:
        yield hole


def test_a_source_that_is_connecting_stops_at_once(hole: BlackHole) -> None:
    connection = Connection(Address(hole.host, hole.port, tls=False))
    source = MqttSource(connection, {"d": "x"}, "c", ChunkBuffer(100), SystemClock())
    stop = threading.Event()
    thread = threading.Thread(target=source.run, args=(stop,))
    thread.start()
    wait_until(lambda: any("connect" in each.name for each in threading.enumerate()), 30, "connecting")
    stop.set()
    thread.join(4.0)  # the connection's own time-out is 5 s
    assert not thread.is_alive()
    assert not source.status.is_open


@pytest.mark.parametrize("upstream_too", [False, True])
def test_the_daemon_stops_cleanly_whatever_broker_is_not_reached(
    tmp_path: Path, hole: BlackHole, upstream_too: bool
) -> None:
    channels = [(channel.name, channel.unit) for channel in shipped("skab-json").channel]
    (tmp_path / "loop.stethos").write_bytes(energy_bundle(contract(*channels, rate_hz=1.0, hold_cells=3)))
    place = f'mqtt = {{ broker = "{hole.url}", topic = "plant/loop" }}'
    with Broker(tmp_path) as broker:
        config = small_plant.write(
            tmp_path,
            hole.url if upstream_too else broker.url,
            small_plant.device("loop", "skab-json", place),
            small_plant.machine("loop", "loop.stethos", [f"loop.{name}" for name, _ in channels]),
        )
        with Daemon(config) as daemon:
            assert daemon.terminate(timeout_s=10.0) == 0, daemon.log

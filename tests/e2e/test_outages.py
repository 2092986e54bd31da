"""What the daemon must survive: a dead broker, a killed process, a pulled plug, a line full of noise."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.plant import FAULT, Plant, events, latest, types, wait_health
from tests.harness.broker import wait_until
from tests.harness.proxy import Proxy


def held(folder: Path) -> list[str]:
    """Keys of the alarm events that wait on disk, read as an outsider once the daemon is dead."""
    with closing(sqlite3.connect(folder / "state" / "outbox.db")) as connection:
        return [key for (key,) in connection.execute("SELECT key FROM message WHERE kind = 0 ORDER BY id")]


@pytest.mark.slow
def test_a_broker_dead_for_twenty_seconds_loses_nothing(plant: Plant) -> None:
    with Proxy(plant.broker.port) as cable, plant.consumer() as consumer:
        plant.write_config(upstream_port=cable.port)
        plant.daemon.start()
        plant.accel(20)
        consumer.wait_for(lambda messages: any("availability" in m.topic for m in messages))
        plant.broker.kill()
        cable.cut()
        for _ in range(5):
            plant.accel(5, FAULT)
            plant.accel(5)
        time.sleep(20)
        plant.broker.start()
        consumer.wait_subscribed(2)  # the broker keeps no session for it, so it must listen before the agent speaks
        cable.plug()
        messages = consumer.wait_for(lambda messages: types(messages, "pump") == ["new", "end"] * 5, 60)
        health = wait_health(consumer, lambda health: health["flow"]["outbox"]["held"] == 0)
    assert health["flow"]["outbox"]["dropped"] == 0
    everything = [json.loads(m.payload) for m in messages if m.topic.endswith("/alarm")]
    by_key = {body["key"]: body for body in everything}
    assert all(body == by_key[body["key"]] for body in everything), "a duplicate is the same message under the same key"
    assert consumer.payloads("stethos/line-3/availability")[-1] == b"online"


def test_an_acknowledgement_that_is_lost_gives_a_duplicate_with_the_same_key(plant: Plant) -> None:
    with Proxy(plant.broker.port) as cable, plant.consumer() as consumer:
        plant.write_config(upstream_port=cable.port)
        plant.daemon.start()
        plant.accel(20)
        cable.hold_back()
        plant.accel(5, FAULT)
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new"])
        cable.cut()
        cable.plug()
        messages = consumer.wait_for(lambda messages: sum(m.topic.endswith("pump/alarm") for m in messages) >= 2, 60)
    alarms = [message.payload for message in messages if message.topic.endswith("pump/alarm")]
    assert alarms[0] == alarms[1], "byte for byte, so the key too"


def test_an_alarm_raised_before_sigkill_is_delivered_after_the_restart(plant: Plant) -> None:
    plant.daemon.start()
    plant.accel(20)
    plant.broker.kill()
    plant.accel(5, FAULT)
    wait_until(lambda: _alarm_is_on_disk(plant), 30, "the alarm on disk while the broker is away")
    plant.daemon.kill()
    keys = held(plant.folder)
    assert keys, "the alarm waits on disk"
    plant.broker.start()
    with plant.consumer() as consumer:
        plant.daemon.start()
        messages = consumer.wait_for(lambda messages: types(messages, "pump") == ["new"])
        assert [event["key"] for event in events(messages, "pump")][: len(keys)] == keys
        wait_health(consumer, lambda health: health["flow"]["outbox"]["held"] == 0)
    plant.daemon.terminate()
    assert held(plant.folder) == []


def _alarm_is_on_disk(plant: Plant) -> bool:
    """The write-ahead log holds the alarm's topic once its commit returned; the database is the daemon's alone."""
    files = [plant.folder / "state" / name for name in ("outbox.db-wal", "outbox.db")]
    return any(path.exists() and b"machine/pump/alarm" in path.read_bytes() for path in files)


def test_a_port_that_is_unplugged_and_comes_back_is_read_again(plant: Plant) -> None:
    plant.daemon.start()
    with plant.consumer() as consumer:
        plant.accel(20)
        wait_until(lambda: _talks(plant, consumer), 30, "a healthy device")
        plant.port.unplug()
        wait_until(lambda: _device(consumer, "accel") == "failure", 30, "a failed device")
        plant.port.plug()
        plant.accel(10)
        plant.accel(5, FAULT)
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new"])
        wait_until(lambda: latest(consumer, "device/accel/health")["link"]["opened"] == 2, 30, "the port open again")


def _device(consumer, device: str) -> str | None:
    health = latest(consumer, f"device/{device}/health")
    return health and health["state"]


def _talks(plant: Plant, consumer) -> bool:
    """Send some more, as it is well only while it is not silent; True once health says so."""
    plant.accel(0.1)
    return _device(consumer, "accel") == "ok"


def test_a_silent_device_is_a_sensor_fault_and_not_an_alarm(plant: Plant) -> None:
    plant.daemon.start()
    with plant.consumer() as consumer:
        plant.accel(20)
        wait_until(lambda: _talks(plant, consumer), 30, "a healthy device")
        wait_until(lambda: _device(consumer, "accel") == "failure", 30, "silence noticed")
        assert "silent" in latest(consumer, "device/accel/health")["reasons"][0]["what"]
        assert types(consumer.messages, "pump") == []


def test_noise_on_the_line_is_counted_and_the_next_frame_is_read(plant: Plant) -> None:
    random = np.random.default_rng(3)
    with plant.consumer() as consumer:
        plant.start(consumer)
        plant.accel(20)
        plant.port.write(random.integers(0, 256, 20_000, np.uint8).tobytes())
        plant.port.write(b"\0")
        plant.accel(10)
        damaged = bytearray(plant.accel_bytes(20))
        for position in random.integers(0, len(damaged), 40):
            damaged[position] ^= 1 << int(random.integers(8))
        plant.port.write(bytes(damaged))
        plant.port.write(b"\0")
        plant.accel(10)
        plant.accel(5, FAULT)
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new"], 30)
        # A flipped bit costs its frame, or two where it made a delimiter.
        least = plant.sent["accel"] - 3 * 40 - 2
        device = wait_health(
            consumer, lambda told: told["link"].get("samples", 0) >= least, topic="device/accel/health"
        )
        health = wait_health(
            consumer, lambda told: told["flow"]["samples"]["in"] >= least and not told["flow"]["bytes"]["held"]
        )
    assert device["link"]["checksum_errors"] > 0
    assert device["link"]["resync_bytes"] >= 20_000
    for stage, flow in health["flow"].items():
        assert flow["in"] == flow["out"] + flow["held"] + flow["dropped"], stage
    assert plant.daemon.running

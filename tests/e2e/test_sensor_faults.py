"""Sensor faults are told as the device's health, at once, and never become an alarm of the machine."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.e2e.plant import RATE_HZ, Plant, types, wait_health
from tests.harness.broker import Subscriber

BURST = "many frames arrive broken"
FROZEN = 2.5  # a value that normal noise reaches; a window full of it scores 6, twice what raises an alarm


def wait_device(consumer: Subscriber, condition: Any) -> dict[str, Any]:
    """The accelerometer's health that `condition(health)` holds for."""
    return wait_health(consumer, condition, topic="device/accel/health")


def wait_x(consumer: Subscriber, state: str) -> dict[str, Any]:
    """The accelerometer's health once its channel x is in this state."""
    return wait_device(consumer, lambda health: health["channels"]["x"]["state"] == state)


def test_a_stuck_sensor_is_a_failure_of_the_sensor_and_no_alarm_of_its_machine(plant: Plant) -> None:
    with plant.consumer() as consumer:
        plant.start(consumer)
        plant.accel(20)
        assert wait_x(consumer, "ok")["channels"]["x"] == {"state": "ok", "faults": [], "changes": 0}
        readings = plant.noise(20, 2)
        readings[:, 0] = FROZEN
        plant.port.write(b"".join(plant.accel_frames(readings)))
        stuck = wait_x(consumer, "failure")
        sent = plant.sent["accel"]
        health = wait_health(consumer, lambda health: health["flow"]["samples"]["in"] == sent)
        messages = consumer.messages
        plant.accel(20)
        sound = wait_x(consumer, "ok")
        plant.drive(20)
        plant.drive_readings(np.full(20 * RATE_HZ, FROZEN))
        consumer.wait_for(lambda messages: types(messages, "motor") == ["new"])

    assert stuck["channels"]["x"]["faults"] == ["stuck"]
    assert stuck["channels"]["y"]["state"] == "ok"
    assert stuck["state"] == "failure"
    [reason] = [reason for reason in stuck["reasons"] if reason["where"] != "accel"]
    assert (reason["state"], reason["where"], reason["remedy"]) == ("failure", "accel.x", "Tighten the probe.")
    assert types(messages, "pump") == [], "while the drive, whose profile states no noise, is alarmed for the same"
    assert health["flow"]["windows"]["dropped"] > 10, "the windows with masked values are unknown"
    assert sound["channels"]["x"]["changes"] == 2, "it came and went, once"


def test_a_burst_of_broken_frames_shows_on_the_device_while_it_lasts(plant: Plant) -> None:
    def bursts(health: dict[str, Any]) -> bool:
        plant.port.write(b"".join(spoilt(plant.accel_frames(plant.noise(0.1, 2)), every=5)))
        return BURST in whats(health) and health["link"].get("lost", 0) >= 40

    with plant.consumer() as consumer:
        plant.start(consumer)
        plant.accel(5)
        burst = wait_device(consumer, bursts)
        messages = consumer.messages
    link = burst["link"]
    assert link["checksum_errors"] + link["decode_errors"] >= 40
    assert link["resync_bytes"] > 0
    assert (link["repeated"], link["reopens"]) == (0, 0)
    assert types(messages, "pump") == []


def whats(health: dict[str, Any]) -> list[str]:
    return [reason["what"] for reason in health["reasons"]]


def spoilt(frames: list[bytes], every: int) -> list[bytes]:
    """One bit of every so many frames is flipped, no delimiter made of it."""
    return [
        frame[:9] + bytes([frame[9] ^ (2 if frame[9] != 2 else 4)]) + frame[10:] if number % every == 0 else frame
        for number, frame in enumerate(frames)
    ]

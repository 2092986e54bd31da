"""`stethos simulate` in the place of a device: the daemon reads it, alarms on its fault, and sees it unplugged."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.e2e.plant import FAULT, NORMAL, Plant, events, latest, types
from tests.harness.broker import Subscriber
from tests.harness.command_line import STETHOS

SPEED = 10
ROWS_BEFORE, ROWS_FAULT, ROWS_AFTER = 2_000, 600, 4_000


def write_rows(path: Path, channels: list[str]) -> None:
    """Twenty normal seconds at 100 Hz, then six with the first channel four times as loud, then forty normal ones."""
    random = np.random.default_rng(5)
    level = np.concatenate([np.full(ROWS_BEFORE, NORMAL), np.full(ROWS_FAULT, FAULT), np.full(ROWS_AFTER, NORMAL)])
    values = random.standard_normal((len(level), len(channels)))
    values[:, 0] *= level
    np.savetxt(path, values, delimiter=",", header=",".join(channels), comments="")


@contextmanager
def simulating(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [*STETHOS, "simulate", *arguments]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def links(consumer: Subscriber) -> dict[str, int]:
    found: dict[str, int] = (latest(consumer, "device/accel/health") or {"link": {"opened": 0}})["link"]
    return found


def test_a_simulated_serial_device_is_alarmed_on_and_missed_while_it_is_unplugged(plant: Plant) -> None:
    plant.port.unplug()
    write_rows(plant.folder / "accel.csv", ["x", "y"])
    plant.daemon.start()
    device = ("accel", "--data", "accel.csv", "--pty", str(plant.port.path), "--speed", str(SPEED))
    with plant.consumer() as consumer, simulating(plant.folder, *device, "--fault", "unplug@28s+1s") as simulator:
        consumer.wait_for(lambda sent: types(sent, "pump") == ["new", "end"], 60)
        opened = consumer.wait_for(lambda _: links(consumer)["opened"] >= 2)
        out, err = simulator.communicate(timeout=60)
    assert opened
    assert simulator.returncode == 0, err
    assert f"sending to {plant.port.path}" in out
    assert events(consumer.messages, "pump")[0]["after"]["channels"][0]["channel"] == "accel.x"
    assert not plant.port.path.exists(), "it takes its port with it"


def test_a_simulated_mqtt_device_is_alarmed_on(plant: Plant) -> None:
    write_rows(plant.folder / "drive.csv", ["current"])
    plant.daemon.start()
    broker = ("--mqtt", plant.broker.url, "--topic", "plant/drive")
    with (
        plant.consumer() as consumer,
        simulating(plant.folder, "drive", "--data", "drive.csv", *broker, "--speed", str(SPEED)) as simulator,
    ):
        consumer.wait_for(lambda sent: types(sent, "motor") == ["new", "end"], 60)
        out, err = simulator.communicate(timeout=60)
    assert simulator.returncode == 0, err
    assert f"{ROWS_BEFORE + ROWS_FAULT + ROWS_AFTER} frames" in out
    assert "0 bytes nobody took" in out

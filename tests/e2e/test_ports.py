"""What a technician learns of a port from the running daemon: gibberish, silence and absence are three things, and start-up a fourth."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.e2e.plant import ACCEL, Plant, latest
from tests.harness.broker import Subscriber, wait_until
from tests.harness.scripted_device import ScriptedDevice
from tests.harness.threads import at_work


@contextmanager
def babbling(plant: Plant) -> Iterator[None]:
    """What a reader at another baud rate sees: bytes that are none of the device's."""
    random = np.random.default_rng(6)

    def babble(stop: threading.Event) -> None:
        while not stop.wait(0.1):
            plant.port.write(random.integers(0, 256, 100, np.uint8).tobytes(), stop=stop)

    with at_work(babble):
        yield


def reasons(consumer: Subscriber) -> str:
    health = latest(consumer, "device/accel/health")
    return "" if health is None else "; ".join(reason["what"] for reason in health["reasons"])


def state(consumer: Subscriber) -> str | None:
    health = latest(consumer, "device/accel/health")
    return health and health["state"]


def talks_sense(plant: Plant, consumer: Subscriber) -> bool:
    """Send some more; True once health has no fault of the link to tell, though it may remember one."""
    plant.accel(0.1)
    return state(consumer) in {"ok", "maintenance_required"}


def test_gibberish_silence_and_absence_have_their_own_words(plant: Plant) -> None:
    plant.daemon.start()
    with plant.consumer() as consumer:
        with babbling(plant):
            wait_until(lambda: "wrong baud rate or profile?" in reasons(consumer), 30, "gibberish told")
            assert state(consumer) == "failure"
        plant.port.write(b"\0")
        wait_until(lambda: talks_sense(plant, consumer), 30, "sense understood")
        wait_until(lambda: "silent for more than 1.5 s" in reasons(consumer), 30, "silence told")
        plant.port.unplug()
        wait_until(lambda: "No such file" in reasons(consumer), 30, "absence told")
        link = latest(consumer, "device/accel/health")["link"]
    assert link.get("checksum_errors", 0) + link.get("decode_errors", 0) > 0
    assert link["opened"] == 1


def test_a_device_that_must_be_told_to_send_is_told_after_each_plugging_in(plant: Plant) -> None:
    startup = '[[startup]]\nsend = "START\\n"\nexpect = "OK\\r\\n"\ntimeout_s = 0.3\nretries = 1\n'
    (plant.folder / "firmware_configs" / "accel.toml").write_text(ACCEL + startup)
    answers = {b"START": lambda: b"ERR\r\n"}
    plant.port.unplug()
    with plant.consumer() as consumer:
        with scripted(plant, answers):
            plant.daemon.start()
            wait_until(lambda: "instead came 'ERR" in reasons(consumer), 30, "the failed start-up told")
            answers[b"START"] = lambda: b"OK\r\n"
            wait_until(
                lambda: state(consumer) == "check_function", 30, "a device that is started and sends nothing yet"
            )
            wait_until(lambda: talks_sense(plant, consumer), 30, "sense understood")
        with scripted(plant, answers):
            wait_until(
                lambda: latest(consumer, "device/accel/health")["link"]["opened"] == 2, 30, "the port open again"
            )
            wait_until(lambda: talks_sense(plant, consumer), 30, "sense understood")


@contextmanager
def scripted(plant: Plant, answers: dict) -> Iterator[None]:
    with ScriptedDevice(Path(plant.port.path), answers) as device:
        plant.port = device.port
        yield

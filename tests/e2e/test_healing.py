"""The daemon is whole again without a restart: after a disk that was full, and whatever the wall clock does."""

from __future__ import annotations

import json
import time

import pytest

from tests.e2e.plant import FAULT, Plant, latest, types
from tests.harness.broker import Subscriber, wait_until
from tests.harness.small_disk import fill, small_disk
from tests.harness.stepped_clock import SteppedClock


def raise_an_alarm(plant: Plant) -> None:
    """It comes and goes."""
    plant.accel(5, FAULT)
    plant.accel(5)


def outbox_fails(consumer: Subscriber) -> bool:
    health = latest(consumer, "health")
    return health is not None and any(reason["where"] == "outbox" for reason in health["reasons"])


@pytest.mark.slow
def test_alarms_of_the_time_when_the_disk_was_full_arrive_once_it_has_room(plant: Plant) -> None:
    with small_disk(plant.folder / "state", 16) as disk:
        disk.chmod(0o700)
        config = plant.daemon.config
        # Summaries would give way to alarms, the more of them the longer it takes until the full disk shows in health.
        config.write_text(config.read_text().replace('summary_every = "10s"', 'summary_every = "1h"'))
        plant.daemon.start()
        with plant.consumer() as consumer:
            plant.accel(20)
            raised, deadline = 0, time.monotonic() + 60
            while not outbox_fails(consumer):
                assert time.monotonic() < deadline, "the full disk is noticed"
                fill(disk / "filling")
                raise_an_alarm(plant)
                raised += 1
                time.sleep(0.3)
            (disk / "filling").unlink()
            consumer.wait_for(lambda messages: types(messages, "pump") == ["new", "end"] * raised, 60)
            wait_until(lambda: not outbox_fails(consumer), 30, "a sound outbox")
            flow = latest(consumer, "health")["flow"]["outbox"]
        assert flow["dropped"] == 0
        assert plant.daemon.terminate() == 0


def test_alarms_come_whatever_the_wall_clock_does_and_their_time_is_the_devices_own(plant: Plant) -> None:
    clock = SteppedClock(plant.folder)
    plant.daemon.environment = clock.environment
    plant.daemon.start()
    with plant.consumer() as consumer:
        plant.accel(20)
        for number, step_s in enumerate((3_600, -86_400, 0), start=1):
            clock.step_to(step_s)
            assert clock.is_stepped_by(step_s)
            raise_an_alarm(plant)
            messages = consumer.wait_for(
                lambda messages, count=number: types(messages, "pump") == ["new", "end"] * count, 30
            )
        alarms = [json.loads(each.payload) for each in messages if each.topic.endswith("pump/alarm")]
        times = [alarm["time_ns"] for alarm in alarms]
        assert times == sorted(times)
        assert consumer.payloads("stethos/line-3/availability")[-1] == b"online", "no connection was lost over it"
    assert plant.daemon.running

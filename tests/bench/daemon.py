"""What the real daemon needs: memory with many streams, processor time at rest, time to readiness, time to an alarm."""

from __future__ import annotations

import contextlib
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from tests.bench import fleet
from tests.bench.figures import Figure, significant
from tests.harness.broker import Broker, Subscriber
from tests.harness.daemon import Daemon
from tests.harness.threads import at_work

_STREAMS = 100
_LOAD_HZ = 16
_LOAD_S = 75.0
_IDLE_S = 60.0
_SETTLE_S = 5.0
_STARTS = 5


def memory() -> Iterator[Figure]:
    """Resident memory of the process, the highest seen while 100 devices send."""
    with running(_STREAMS) as (broker, _, process), _consumer(broker) as consumer:
        started_s = process.cpu_times().user + process.cpu_times().system
        with _sending(broker, _STREAMS, _LOAD_HZ):
            highest = 0
            deadline = time.monotonic() + _LOAD_S
            while time.monotonic() < deadline:
                highest = max(highest, process.memory_info().rss)
                time.sleep(0.5)
        used_s = process.cpu_times().user + process.cpu_times().system - started_s
        health = json.loads(consumer.payloads("stethos/bench/health")[-1])
        windows = health["flow"]["windows"]["out"]
    if windows < _STREAMS:
        raise RuntimeError(f"the model ran on {windows} windows only")
    load = f"{_STREAMS} devices of {fleet.CHANNELS} channels over MQTT at {_LOAD_HZ} Hz each for {_LOAD_S:.0f} s"
    against = f"{load}, {windows} windows scored, {100 * used_s / _LOAD_S:.0f} % of a core"
    yield Figure(f"memory.{_STREAMS}_streams", significant(highest / 1e6), "MB", against, "< 150")


def idle() -> Iterator[Figure]:
    """Processor time of the process, user and system, while one device sends once a second."""
    with running(1) as (broker, _, process), _sending(broker, 1, 1):
        time.sleep(_SETTLE_S)
        before, started = process.cpu_times(), time.monotonic()
        time.sleep(_IDLE_S)
        after, wall_s = process.cpu_times(), time.monotonic() - started
    share = (after.user + after.system - before.user - before.system) / wall_s
    yield Figure("idle.cpu", significant(100 * share), "% of a core", f"1 device at 1 Hz over {wall_s:.0f} s", "< 1")


def start() -> Iterator[Figure]:
    """From exec to READY=1, with one machine and its model; the files are in the page cache."""
    taken = []
    for _ in range(_STARTS):
        with running(1) as (_, daemon, _):
            taken.append(daemon.ready_after_s)
    against = f"median of {_STARTS}, {min(taken):.2f} to {max(taken):.2f} s"
    yield Figure("start.ready", significant(statistics.median(taken)), "s", against, "< 2")


@contextlib.contextmanager
def running(streams: int) -> Iterator[tuple[Broker, Daemon, psutil.Process]]:
    """A broker and a daemon that watches so many devices."""
    with (
        tempfile.TemporaryDirectory() as name,
        Broker(Path(name), ["log_type error", "max_queued_messages 100000"]) as broker,
        Daemon(fleet.write(Path(name), streams, broker.url)) as daemon,
    ):
        yield broker, daemon, psutil.Process(daemon.pid)


def _consumer(broker: Broker) -> Subscriber:
    return Subscriber(broker.host, broker.port, "stethos/#")


@contextlib.contextmanager
def _sending(broker: Broker, streams: int, rate_hz: int) -> Iterator[None]:
    """Every stream sends `rate_hz` samples a second, stamped with the time, on the model's grid of cells, inside the `with`."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect(broker.host, broker.port)
    client.loop_start()
    rows = fleet.signal(4_096, seed=4)

    def send(stop: threading.Event) -> None:
        n, begun = 0, time.monotonic()
        while not stop.wait(max(0.0, begun + n / rate_hz - time.monotonic())):
            t_ns = fleet.START_NS + n * fleet.STEP_NS
            for stream in range(streams):
                client.publish(fleet.topic(stream), fleet.payload(n, rows[n % len(rows)], t_ns))
            n += 1

    try:
        with at_work(send):
            yield
    finally:
        client.disconnect()
        client.loop_stop()

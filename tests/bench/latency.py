"""From a window's last sample on the wire to its alarm at a consumer, and how many alarm events a second the life cycle takes."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Iterator

import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.decide.explanation import unexplained
from agent.decide.lasting import Likelihood
from agent.decide.machine_alarms import MachineAlarms
from agent.decide.point import AlarmPoint
from agent.types import NANOSECONDS, TimeQuality, Verdict, Window
from tests.bench import fleet
from tests.bench.daemon import running
from tests.bench.figures import Figure, significant
from tests.harness.alarms import point_rules
from tests.harness.broker import Broker

_STREAMS = 100
_RATE_HZ = 16
# Every machine has had a whole window by then; each begins to misbehave a little after the one before.
_FIRST_FAULT, _APART = 320, 3
_FAULT = 8.0  # added to every channel
_LAST = _FIRST_FAULT + _APART * _STREAMS + 2 * fleet.HOP
_EVENTS = 20_000


def measure() -> Iterator[Figure]:
    with running(_STREAMS) as (broker, _, _):
        delays_ms = _alarms(broker)
    load = f"{_STREAMS} machines of {fleet.CHANNELS} channels at {_RATE_HZ} messages/s each, {len(delays_ms)} alarms"
    # A sample's cell is closed by the next sample of its device, so that much is the protocol's own.
    against = f"{load}; {1_000 / _RATE_HZ:.0f} ms of it until the next sample closes the window"
    yield Figure(f"latency.{_STREAMS}_streams.p50", significant(statistics.median(delays_ms)), "ms", against)
    yield Figure(f"latency.{_STREAMS}_streams.p99", significant(float(np.quantile(delays_ms, 0.99))), "ms", against)
    yield Figure(
        "latency.events", significant(_events_a_second()), "alarm events/s", "raised, cleared, told, on one core"
    )


def _alarms(broker: Broker) -> list[float]:
    """Send until every machine has raised its alarm; milliseconds from the last sample of each alarm's window to its arrival."""
    sent_s: dict[tuple[int, int], float] = {}
    delays_ms: dict[str, float] = {}
    consumer = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)

    def hear(_client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        at_s, body = time.monotonic(), json.loads(message.payload)
        if body["type"] == "new":
            number = int(body["machine"].rsplit("-", 1)[1])
            last = (body["after"]["window_end_ns"] - fleet.START_NS) // fleet.STEP_NS - 1
            delays_ms.setdefault(body["machine"], 1_000 * (at_s - sent_s[number, last]))

    consumer.on_message = hear
    consumer.on_connect = lambda client, *_: client.subscribe("stethos/bench/machine/+/alarm", qos=1)
    consumer.connect(broker.host, broker.port)
    consumer.loop_start()
    try:
        _send(broker, sent_s)
        time.sleep(2.0)
    finally:
        consumer.disconnect()
        consumer.loop_stop()
    if len(delays_ms) < _STREAMS:
        raise RuntimeError(f"{len(delays_ms)} of {_STREAMS} machines raised an alarm")
    return list(delays_ms.values())


def _send(broker: Broker, sent_s: dict[tuple[int, int], float]) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect(broker.host, broker.port)
    client.loop_start()
    rows, begun = fleet.signal(4_096, seed=4), time.monotonic()
    pause = threading.Event()
    for n in range(_LAST):
        pause.wait(max(0.0, begun + n / _RATE_HZ - time.monotonic()))
        t_ns = fleet.START_NS + n * fleet.STEP_NS
        for stream in range(_STREAMS):
            fault = _FAULT if n >= _FIRST_FAULT + _APART * stream else 0.0
            sent_s[stream, n] = time.monotonic()
            client.publish(fleet.topic(stream), fleet.payload(n, rows[n] + fault, t_ns))
    client.disconnect()
    client.loop_stop()


def _events_a_second() -> float:
    """Each window raises or clears the alarm, so that each gives an event and a transition."""
    alarms = MachineAlarms(AlarmPoint(point_rules(NANOSECONDS, budget_per_hour=1e-3)), clear_factor=10.0)
    nothing = np.empty((1, 0), np.float32)
    started, told = time.process_time(), 0
    for n in range(_EVENTS):
        window = Window("m", n * NANOSECONDS, (n + 1) * NANOSECONDS, nothing, None, TimeQuality.DEVICE)
        rate = 1e-9 if n % 2 else 1e3
        told += len(alarms.judge(Verdict(window, 1.0, nothing[:, :0], None), Likelihood(rate, 0.0), unexplained))
    return told / (time.process_time() - started)


if __name__ == "__main__":
    for figure in measure():
        print(f"{figure.name} = {figure.value:g} {figure.unit} ({figure.against})", flush=True)

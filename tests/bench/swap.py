"""A model exchanged under load: samples lost, and the longest gap between verdicts around an exchange beside the longest without one.

The agent runs in this process, so that its verdicts can be timed; the devices send from another one. `python -m tests.bench.swap` prints the figures.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.app import App
from agent.bundles.store import locked_store
from agent.clock import SystemClock
from agent.commands.catalogue import COMMANDS
from agent.commands.dispatcher import Wish
from agent.config.partial import check_for_bundles
from agent.config.starting import started
from agent.notify import Notifier
from agent.rollout.offline import Offline
from tests.bench import fleet
from tests.bench.figures import Figure, significant
from tests.harness.broker import Broker, wait_until

_STREAMS = fleet.HOP  # each a sample ahead of the one before, so that every tick some machine's window is due
_RATE_HZ = 16
_EXCHANGES = 10
_APART_S = 4.0
_AROUND_S = 1.0  # after an exchange, still counted as around it
_SETTLE_S = 20.0  # until every machine has had a window


def measure() -> Iterator[Figure]:
    """Ten exchanges, there and back, while 64 devices send."""
    with tempfile.TemporaryDirectory() as name, Broker(Path(name), ["log_type error"]) as broker:
        config = fleet.write(Path(name), _STREAMS, broker.url)
        text = config.read_text().replace(f'bundle = "{fleet.BUNDLE}"', 'bundle = "fleet"')
        config.write_text(
            f"{text}[bundles.probation]\nalarms = 1000000\n"
        )  # it goes back when it is told to, not by itself
        desk = check_for_bundles(config)
        with locked_store(desk.state) as store:
            for file in (Path(name) / fleet.BUNDLE, fleet.newer()):
                Offline(store, desk.prover, "bench").install(file)
        with started(config, strict=True) as what:
            yield from _figures(App(what, SystemClock(), Notifier(), lambda: None), broker)


def _figures(app: App, broker: Broker) -> Iterator[Figure]:
    verdicts, stop = _timed(app), threading.Event()
    app.start()
    watching = threading.Thread(target=app.watch, args=(stop,))
    watching.start()
    try:
        with _sending(broker) as sender:
            time.sleep(_SETTLE_S)
            begun_s, around = time.monotonic(), [_exchange(app, number) for number in range(_EXCHANGES)]
            ended_s = time.monotonic()
        sent = int(sender.communicate(timeout=30)[0])
        wait_until(lambda: _samples(app)[0] == sent, 20, "every sample that was sent")
    finally:
        stop.set()
        watching.join()
        app.stop()
    entered, missing = _samples(app)
    yield Figure("swap.lost", sent - entered + missing, "samples", f"{sent} sent over {_EXCHANGES} exchanges", "0")
    gaps = [(end - start, start, end) for start, end in itertools.pairwise(verdicts)]
    within = [gap for gap in gaps if begun_s <= gap[1] and gap[2] <= ended_s]
    near = [any(start <= gap[2] and gap[1] <= end + _AROUND_S for start, end in around) for gap in within]
    longest = max(gap[0] for gap, is_near in zip(within, near, strict=True) if is_near)
    usual = max(gap[0] for gap, is_near in zip(within, near, strict=True) if not is_near)
    took = significant(1e3 * max(end - start for start, end in around))
    against = (
        f"{significant(1e3 * usual)} ms is the longest without one in the same run; a verdict is due every {1e3 / _RATE_HZ:.3g} ms; "
        f"from the wish to the answer {took} ms at most"
    )
    yield Figure("swap.gap", significant(1e3 * longest), "ms", against)


def _timed(app: App) -> list[float]:
    """Grows by the time of every verdict."""
    times: list[float] = []
    watch = app._pipeline.watch
    assert watch is not None

    def look(*shown: Any) -> None:
        times.append(time.monotonic())
        watch(*shown)

    app._pipeline.watch = look
    return times


def _exchange(app: App, number: int) -> tuple[float, float]:
    """The other release, on somebody's wish; when that began and when it was answered."""
    time.sleep(_APART_S)
    answered, found = threading.Event(), list[Any]()
    command = "bundle.activate" if number % 2 == 0 else "bundle.rollback"
    fields = COMMANDS[command].arguments(by="bench", bundle="fleet")
    begun_s = time.monotonic()

    def answer(data: object) -> None:
        found.append(data)
        answered.set()

    assert app._bundles.rollout.wishes.submit(
        Wish(command, fields, {"command": command, "by": "bench"}, answer, answer)
    )
    if not answered.wait(30) or isinstance(found[0], str):
        raise RuntimeError(f"{command}: {found or 'no answer'}")
    return begun_s, time.monotonic()


def _samples(app: App) -> tuple[int, int]:
    """What came to the machines, and what is missing there."""
    books = app._thread.report.flow["samples"]
    return books.entered, books.missing + books.dropped


@contextlib.contextmanager
def _sending(broker: Broker) -> Iterator[subprocess.Popen[str]]:
    """The devices, in a process of their own; stopped at the end, it prints how many samples it has sent."""
    sender = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.swap", "send", str(broker.port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield sender
    finally:
        assert sender.stdin is not None
        sender.stdin.close()
        sender.stdin = None


def send(port: int) -> None:
    """Until standard input ends."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", port)
    client.loop_start()
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    rows, begun, n = fleet.signal(4_096, seed=4), time.monotonic(), 0
    while not stop.wait(max(0.0, begun + n / _RATE_HZ - time.monotonic())):
        for stream in range(_STREAMS):
            t_ns = fleet.START_NS + (n + stream) * fleet.STEP_NS
            last = client.publish(fleet.topic(stream), fleet.payload(n, rows[n % len(rows)], t_ns), qos=1)
        n += 1
    last.wait_for_publish(10)
    client.disconnect()
    client.loop_stop()
    print(n * _STREAMS)


if __name__ == "__main__":
    if sys.argv[1:2] == ["send"]:
        send(int(sys.argv[2]))
    else:
        for figure in measure():
            print(f"{figure.name} = {figure.value:g} {figure.unit} ({figure.against})", flush=True)

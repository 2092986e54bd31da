"""How many serial ports at 921,600 baud the whole daemon reads without losing a sample, on the cores that its feeders use too.

A feeder process is the other end of every port: a pseudo-terminal that gets 92,160 bytes a second in frames of accel3-cobs whether
the daemon keeps up or not, as a UART does. What a full port does not take is lost, and the frames' counters show it. A feeder that
was kept from its core makes no burst of what it owes, which no UART could: its line stands still, and the pace shows that.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import tty
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil

from agent.decode.encode import Encoder
from agent.window.contract import Contract
from tests.bench.figures import Figure
from tests.harness import small_plant
from tests.harness.agent_folder import contract, energy_bundle
from tests.harness.broker import Broker, Subscriber, wait_until
from tests.harness.daemon import Daemon
from tests.harness.profiles import FOLDER, shipped

BYTES_A_SECOND = 92_160
FRAME_BYTES = 20
FRAMES_A_SECOND = BYTES_A_SECOND // FRAME_BYTES
SECONDS = 20
COUNTS = (16, 24, 32, 40, 48, 56, 64, 72)
_TICK_S = 0.005
_LONGEST_PAUSE_S = 0.02
_LEAST_PACE = 0.99
_COUNTER_WRAP = 65_536


@dataclass(frozen=True)
class Outcome:
    """One run: frames sent and samples missing over all ports, the pace that the feeder kept, and the cores that each side took."""

    ports: int
    sent: int
    missing: int
    pace: float  # 1.0 is 921,600 baud
    daemon_cores: float
    feeder_cores: float


def measure() -> Iterator[Figure]:
    best: Outcome | None = None
    for ports in COUNTS:
        outcome = run(ports)
        print(outcome, file=sys.stderr)
        if outcome.missing or outcome.pace < _LEAST_PACE:
            break
        best = outcome
    if best is None:
        raise RuntimeError(f"{COUNTS[0]} ports are too many for this machine already")
    against = (
        f"{BYTES_A_SECOND:,} bytes/s a port, {best.sent:,} frames sent in {SECONDS} s and none lost; daemon "
        f"{best.daemon_cores:.2f} cores, feeder {best.feeder_cores:.2f} of the same cores"
    )
    yield Figure("devices.ports_921600", best.ports, "ports", against, ">= 16")


def run(ports: int) -> Outcome:
    """The daemon on so many ports for SECONDS."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Broker(folder) as broker, _feeder(folder, ports) as feeder:
            daemon = Daemon(_write(folder, ports, broker.url), ready_timeout_s=60)
            with Subscriber(broker.host, broker.port, "stethos/bench/device/+/health") as consumer, daemon:
                wait_until(lambda: _total(consumer, ports, "opened") == ports, 30, "every port open")
                before = _cpu_s(daemon.pid)
                report = _feed(feeder)
                daemon_s = _cpu_s(daemon.pid) - before
                with contextlib.suppress(AssertionError):
                    wait_until(lambda: _total(consumer, ports, "samples") == report["frames"], 5, "every sample")
                missing = report["frames"] - _total(consumer, ports, "samples")
                daemon.terminate()
    wall_s = report["wall_s"]
    return Outcome(ports, report["frames"], missing, SECONDS / wall_s, daemon_s / wall_s, report["cpu_s"] / wall_s)


def _write(folder: Path, ports: int, broker: str) -> Path:
    profile = (FOLDER / "accel3-cobs.toml").read_text().replace("rate_hz = 1000.0", f"rate_hz = {FRAMES_A_SECOND}.0")
    (folder / "node.toml").write_text(profile)
    channels = [(channel.name, channel.unit) for channel in shipped("accel3-cobs").channel]
    windows: Contract = msgspec.structs.replace(contract(*channels, rate_hz=FRAMES_A_SECOND), window=1_024, hop=512)
    (folder / "energy.stethos").write_bytes(energy_bundle(windows))
    tables = []
    for number in range(ports):
        place = f'serial = {{ port = "tty{number}", baud = 921600 }}'
        tables.append(small_plant.device(f"d{number}", "node.toml", place))
        wanted = [f"d{number}.{name}" for name, _ in channels]
        tables.append(small_plant.machine(f"m{number}", "energy.stethos", wanted))
    return small_plant.write(folder, broker, *tables, agent="bench")


def _total(consumer: Subscriber, ports: int, counter: str) -> int:
    """A link counter, over the newest health of every device."""
    found = [consumer.payloads(f"stethos/bench/device/d{number}/health") for number in range(ports)]
    return sum(json.loads(payloads[-1])["link"].get(counter, 0) for payloads in found if payloads)


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


@contextlib.contextmanager
def _feeder(folder: Path, ports: int) -> Iterator[subprocess.Popen[str]]:
    """A process that has made its ports and waits for the word to begin."""
    command = [sys.executable, "-m", "tests.bench.ports_921600", "feed", str(folder), str(ports)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def _feed(feeder: subprocess.Popen[str]) -> dict[str, Any]:
    assert feeder.stdin is not None
    assert feeder.stdout is not None
    feeder.stdin.write("go\n")
    feeder.stdin.flush()
    report: dict[str, Any] = json.loads(feeder.stdout.readline())
    return report


def feed(folder: Path, ports: int) -> None:
    """The feeder's body: make the ports, then send to all of them at their line's pace."""
    stream = _stream()
    ends = [_port(folder / f"tty{number}") for number in range(ports)]
    print("ready", flush=True)
    sys.stdin.readline()
    cpu_s, begun = time.process_time(), time.perf_counter()
    sent, line_s, looked = 0, 0.0, begun
    whole = SECONDS * FRAMES_A_SECOND * FRAME_BYTES
    while sent < whole:
        time.sleep(_TICK_S)
        now = time.perf_counter()
        line_s, looked = line_s + min(now - looked, _LONGEST_PAUSE_S), now
        due = min(whole, round(line_s * BYTES_A_SECOND))
        piece = _piece(stream, sent, due)
        for end in ends:
            with contextlib.suppress(BlockingIOError):  # a full port: these bytes are lost
                os.write(end, piece)
        sent = due
    wall_s = time.perf_counter() - begun
    print(
        json.dumps(
            {
                "frames": ports * whole // FRAME_BYTES,
                "wall_s": wall_s,
                "cpu_s": time.process_time() - cpu_s,
            }
        ),
        flush=True,
    )
    sys.stdin.readline()  # a port that closes now would end what is still to be read from it


def _port(path: Path) -> int:
    end, port = os.openpty()
    tty.setraw(port)
    os.set_blocking(end, False)
    path.symlink_to(os.ttyname(port))
    return end


def _stream() -> bytes:
    """As many frames as the counter counts, so that the stream can be sent in a circle."""
    encoder = Encoder(shipped("accel3-cobs"))
    values = np.random.default_rng(5).normal([0.0, 0.0, 1.0, 30.0], [0.3, 0.3, 0.3, 0.5], (_COUNTER_WRAP, 4))
    stream = b"".join(encoder.frame(row, 0) for row in values.tolist())[
        1:
    ]  # without the delimiter at the very beginning
    assert len(stream) == _COUNTER_WRAP * FRAME_BYTES
    return stream


def _piece(stream: bytes, start: int, end: int) -> bytes:
    first, last = start % len(stream), start % len(stream) + end - start
    return stream[first:last] + stream[: max(0, last - len(stream))]


if __name__ == "__main__":
    if sys.argv[1:2] == ["feed"]:
        feed(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        for figure in measure():
            print(figure)

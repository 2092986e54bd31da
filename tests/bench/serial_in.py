"""Processor time a byte from a serial port to samples, through the real source, beside bare reads of the same port."""

from __future__ import annotations

import statistics
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import serial

import firmware_configs
from agent.clock import SystemClock
from agent.config.checked import SerialPlace
from agent.decode.decoder import Decoder
from agent.decode.encode import Encoder
from agent.decode.profile import parse_profile
from agent.decode.schema import Profile
from agent.sources.serial_port import SerialSource
from tests.bench import fleet, pty
from tests.bench.figures import Figure, significant
from tests.bench.reading import Reader, Spent, timed
from tests.harness.broker import wait_until

_ROUNDS = 5
_FLOOD_BYTES = 4_000_000
# figure: its profile
_PROFILES = {"serial_in.cpu_cobs": "accel3-cobs", "serial_in.cpu_lines": "skab-csv"}
_FEW_BYTES = 100_000


def measure() -> Iterator[Figure]:
    for name, profile in _PROFILES.items():
        yield _measure(name, Path(firmware_configs.__file__).with_name(f"{profile}.toml").read_text())


def _measure(name: str, profile_text: str) -> Figure:
    profile = parse_profile(profile_text, name)
    encoder = Encoder(profile)
    # Any plausible values will do; what does not fit a channel's range is flagged, not lost.
    rows = fleet.signal(4_096, seed=3)
    rows = 20 + rows[:, [column % fleet.CHANNELS for column in range(len(profile.channel))]].astype(float)
    step_ns = round(1e9 / profile.rate_hz)
    frames = [encoder.frame(rows[0].tolist(), fleet.START_NS)]
    frames += [
        encoder.frame(rows[n % len(rows)].tolist(), fleet.START_NS + n * step_ns)
        for n in range(1, _FLOOD_BYTES // len(frames[0]))
    ]
    with tempfile.TemporaryDirectory() as folder:
        flood, drops = Path(folder) / "flood", Path(folder) / "drops"
        size = flood.write_bytes(b"".join(frames))
        few = drops.write_bytes(b"".join(frames)[:_FEW_BYTES])
        found: list[tuple[float, float, float]] = []
        for _ in range(_ROUNDS):
            with pty.port() as (device, path):
                ours = _ours(device, path, flood, size, profile).cpu_us
            with pty.port() as (device, path):
                bare = _bare(device, path, flood, size, lambda port: max(1, port.in_waiting)).cpu_us
            with pty.port() as (device, path):
                single = _bare(device, path, drops, few, lambda _: 1).cpu_us
            found.append((ours, bare, single))
    ours, bare, single = (statistics.median(column) * 1e3 for column in zip(*found, strict=True))
    against = f"a bare chunked read: {bare:.3g} ns, reading byte by byte: {single:,.0f} ns"
    return Figure(name, significant(ours), "ns of processor time a byte", against)


def _ours(device: int, path: str, flood: Path, size: int, profile: Profile) -> Spent:
    place = SerialPlace(path, 921_600, "none", 1)
    reader = Reader(
        lambda buffer: SerialSource("port", place, buffer, SystemClock()), {"port": Decoder(profile, "port")}, {}
    )
    with reader.running():
        wait_until(lambda: reader.source.status.is_open, 10.0, "an open port")
        spent = timed(lambda: pty.send(device, flood), lambda: reader.count("bytes"), size)
    decoder = reader.decoders["port"]
    if decoder.balance().dropped or decoder.frame_balance().dropped:
        raise RuntimeError(f"not every frame was read: {decoder.counters.snapshot()}")
    return spent


def _bare(device: int, path: str, flood: Path, size: int, amount: Callable[[serial.Serial], int]) -> Spent:
    """Read `amount(port)` bytes at a time, and drop them."""
    received = 0
    done = threading.Event()

    def read() -> None:
        nonlocal received
        while not done.is_set():
            received += len(port.read(amount(port)))

    with serial.Serial(path, 921_600, timeout=0.5) as port:
        thread = threading.Thread(target=read)
        thread.start()
        spent = timed(lambda: pty.send(device, flood), lambda: received, size)
        done.set()
        thread.join()
    return spent

"""Bytes a second from a serial port to samples, for each framing, beside the same chunked reads without a decoder."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import serial

from agent.config.checked import SerialPlace
from agent.decode.decoder import Decoder
from agent.decode.encode import Encoder
from agent.decode.profile import Profile, parse_profile
from agent.sources.buffer import ChunkBuffer
from agent.sources.serial_line import SerialLine
from agent.types import Chunk
from tests.bench import fleet, pty
from tests.bench.figures import Figure, significant
from tests.bench.rounds import alternate
from tests.harness.profiles import shipped

_ROUNDS = 5
# Long enough that the last pause of the pipeline's thread does not count.
_FLOOD_BYTES = 16_000_000
_STALLED_S = 5.0
_BAUD = 921_600
# As the pipeline's thread lets chunks gather.
_GATHER_S = 0.005
_GOAL = 0.5

_HEAD = """
maker = "bench"
model = "three axes of 16 samples"
source = "this file"
transport = "serial"
baud = 921600
rate_hz = 12800.0
silent_after_s = 1.0
channel = [{ name = "x", unit = "[g]" }, { name = "y", unit = "[g]" }, { name = "z", unit = "[g]" }]
"""
_BLOCK = """
checksum = { name = "crc16-ibm-3740" }
sequence = { field = "n" }
time = { kind = "counter" }
[binary]
fields = [{ name = "n", type = "u16" }]
[binary.samples]
count = 16
fields = [{ name = "x", type = "f32" }, { name = "y", type = "f32" }, { name = "z", type = "f32" }]
"""
_LINES = """
framing = { kind = "lines" }
csv = { columns = ["n", "x", "y", "z"] }
sequence = { field = "n", bits = 16 }
time = { kind = "counter" }
"""
_PROFILES = {
    "cobs": 'framing = { kind = "cobs" }' + _BLOCK,
    "slip": 'framing = { kind = "slip" }' + _BLOCK,
    "length": 'framing = { kind = "length", length = { width = 2 } }' + _BLOCK,
    "sync": 'framing = { kind = "sync", sync = "a5 5a" }' + _BLOCK,
    "lines": _LINES,
}


def measure() -> Iterator[Figure]:
    for name, body in _PROFILES.items():
        yield _measure(name, parse_profile(_HEAD + body, name))
    yield _measure("cobs_16_byte_records", shipped("accel3-cobs"))


def _measure(name: str, profile: Profile) -> Figure:
    with tempfile.TemporaryDirectory() as folder:
        flood = Path(folder) / "flood"
        size = flood.write_bytes(_stream(profile))

        def ours() -> float:
            decoder = Decoder(profile, "port")
            rate = _read(flood, size, decoder)
            if decoder.balance().dropped or decoder.frame_balance().dropped or decoder.counters["bytes"] != size:
                raise RuntimeError(f"not every frame was read: {decoder.counters.snapshot()}")
            return rate

        found = alternate(ours, lambda: _read(flood, size, None), _ROUNDS)
    against = f"bare chunked read of the same pty: {found.bare / 1e6:.3g} MB/s, here {found.ours / 1e6:.3g} MB/s"
    return Figure(f"serial_in.{name}", significant(found.ratio), "of bare speed", against, f">= {_GOAL}")


def _stream(profile: Profile) -> bytes:
    """One turn of the 16-bit counter, over and over."""
    encoder = Encoder(profile)
    channels = len(profile.channel)
    rows = fleet.signal(4_096, seed=3)[:, :channels].round(3).tolist()
    turn = b"".join(encoder.frame(rows[n % len(rows)], fleet.START_NS) for n in range(1 << 16))
    return turn * -(-_FLOOD_BYTES // len(turn))


def _read(flood: Path, size: int, decoder: Decoder | None) -> float:
    """Bytes a second, from the first one sent to the last one decoded; a thread reads, as in the daemon, and this one decodes.

    With a decoder the daemon's own line reads the port, without one a plain loop over pyserial.
    """
    buffer = ChunkBuffer(2 * size)
    opened = _bare if decoder is None else _line
    with pty.port() as (device, path), opened(path) as read:
        reader = threading.Thread(target=_receive, args=(read, size, buffer))
        reader.start()
        sender = pty.send(device, flood)
        received, started = 0, 0.0
        while received < size:
            chunks = buffer.take(_STALLED_S)
            if not chunks:
                raise RuntimeError(f"{size - received} bytes never came")
            started = started or time.perf_counter()
            received += sum(len(chunk.data) for chunk in chunks)
            if decoder is not None:
                decoder.feed(chunks)
            time.sleep(_GATHER_S)
        spent = time.perf_counter() - started
        sender.wait(timeout=10)
        reader.join()
    return size / spent


@contextlib.contextmanager
def _line(path: str) -> Iterator[Callable[[], bytes]]:
    with SerialLine(path, SerialPlace(path, _BAUD, "none", 1)) as line:
        yield lambda: line.read(_STALLED_S)


@contextlib.contextmanager
def _bare(path: str) -> Iterator[Callable[[], bytes]]:
    with serial.Serial(path, _BAUD, timeout=_STALLED_S) as port:
        yield lambda: port.read(max(1, port.in_waiting))


def _receive(read: Callable[[], bytes], size: int, buffer: ChunkBuffer) -> None:
    received = 0
    while received < size and (data := read()):
        received += len(data)
        buffer.put(Chunk("port", data, fleet.START_NS + received * 10_000))


if __name__ == "__main__":
    for figure in measure():
        print(f"{figure.name} = {figure.value:g} {figure.unit}, goal {figure.goal} ({figure.against})", flush=True)

"""Bytes a second from a serial port to samples, for each framing, beside the same chunked reads without a decoder."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import serial

from agent.decode.decoder import Decoder
from agent.decode.encode import Encoder
from agent.decode.profile import Profile, parse_profile
from agent.sources.buffer import ChunkBuffer
from agent.types import Chunk
from tests.bench import fleet
from tests.bench.figures import Figure, significant
from tests.bench.rounds import alternate
from tests.harness.profiles import shipped

_ROUNDS = 5
# Long enough that the last pause of the pipeline's thread does not count.
_FLOOD_BYTES = 16_000_000
_BLOCK_BYTES = 4_096
_STALLED_S = 5.0
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
    """Bytes a second, from the first one sent to the last one decoded; a thread reads, as in the daemon, and this one decodes."""
    buffer = ChunkBuffer(2 * size)
    with _port() as (device, path), serial.Serial(path, 921_600, timeout=5.0) as port:
        reader = threading.Thread(target=_receive, args=(port, size, buffer))
        reader.start()
        command = ["socat", "-u", f"-b{_BLOCK_BYTES}", f"FILE:{flood}", f"FD:{device}"]
        sender = subprocess.Popen(command, pass_fds=[device])
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


def _receive(port: serial.Serial, size: int, buffer: ChunkBuffer) -> None:
    received = 0
    while received < size and (data := port.read(max(1, port.in_waiting))):
        received += len(data)
        buffer.put(Chunk("port", data, fleet.START_NS + received * 10_000))


@contextlib.contextmanager
def _port() -> Iterator[tuple[int, str]]:
    """The device's end of a fresh pseudo-terminal, and the path of its port."""
    device, port = os.openpty()
    tty.setraw(port)
    try:
        yield device, os.ttyname(port)
    finally:
        os.close(device)
        os.close(port)


if __name__ == "__main__":
    for figure in measure():
        print(f"{figure.name} = {figure.value:g} {figure.unit}, goal {figure.goal} ({figure.against})", flush=True)

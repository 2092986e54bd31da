"""Message formats from the broker to windows, beside a bare paho loop that drops the same messages: one sample a message, and many."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cbor2
import numpy as np

from agent.clock import SystemClock
from agent.config.broker import parse_broker
from agent.config.checked import Connection
from agent.decode.decoder import Decoder
from agent.decode.profile import parse_profile
from agent.sources.mqtt_topic import MqttSource
from agent.types import Float32Array
from agent.window.aligner import Aligner
from agent.window.contract import Contract, ContractChannel
from tests.bench import fleet
from tests.bench.figures import Figure, significant
from tests.bench.mqtt_flood import Flood, flood, packet, race
from tests.bench.reading import Reader, Spent

_ROUNDS = 5
_TOPIC = "plant/node"
_HEAD = f"""
maker = "bench"
model = "bench"
source = "tests/bench"
transport = "mqtt"
rate_hz = {fleet.RATE_HZ}
silent_after_s = 60
framing = {{ kind = "message", max_frame_bytes = 262144 }}
channel = [{", ".join(f'{{ name = "{name}", unit = "1" }}' for name in fleet.NAMES)}]
"""
_STAMPED = 'time = { kind = "device", field = "t", unit = "ns" }\n'
_OWN = 'time = { kind = "device" }\n'


class Case(NamedTuple):
    """One format: `payload` makes a message of rows float32 [samples, channels] whose first was taken at t_ns."""

    name: str
    samples: int  # in a message
    messages: int  # fewer than the buffer of 8 MiB holds: what waits there is not lost
    profile: str
    payload: Callable[[int, Float32Array], bytes]


def measure() -> Iterator[Figure]:
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            yield _measure(Path(folder), case)


def _measure(folder: Path, case: Case) -> Figure:
    with flood(folder, _packets(case)) as flooded:
        found, cpu = race(
            lambda number: _read(flooded, case, number), lambda: flooded.drop(_TOPIC, case.messages), _ROUNDS
        )
    values = case.samples * fleet.CHANNELS
    against = (
        f"bare paho loop: {found.bare:,.0f} messages/s of {values} values and {cpu.bare:.0f} µs of processor time each, "
        f"here {found.ours:,.0f} and {cpu.ours:.0f} µs, {found.ours * values:,.0f} values/s"
    )
    return Figure(f"mqtt_formats.{case.name}", significant(found.ratio), "of bare speed", against, ">= 0.6")


def _read(flooded: Flood, case: Case, number: int) -> Spent:
    connection = Connection(parse_broker(flooded.broker.url))
    channels = [ContractChannel(name=name, unit="1") for name in fleet.NAMES]
    contract = Contract(channels=channels, rate_hz=fleet.RATE_HZ, window=fleet.WINDOW, hop=fleet.HOP)
    feeds = [(row, row) for row in range(fleet.CHANNELS)]
    reader = Reader(
        lambda buffer: MqttSource(connection, {"node": _TOPIC}, f"bench-{number}", buffer, SystemClock()),
        {"node": Decoder(parse_profile(case.profile, "node.toml"), "node")},
        {"node": Aligner("node", contract, {"node": feeds}, 0)},
    )
    spent = flooded.read(reader, case.messages * case.samples)
    return Spent(case.messages, spent.wall_s, spent.cpu_s)


def _packets(case: Case) -> Iterator[bytes]:
    rows = fleet.signal(case.messages * case.samples, seed=2)
    for first in range(0, len(rows), case.samples):
        t_ns = fleet.START_NS + first * fleet.STEP_NS
        yield packet(_TOPIC, case.payload(t_ns, rows[first : first + case.samples]))


def _rounded(row: Float32Array) -> list[float]:
    """Six digits, as firmwares print."""
    return [float(f"{value:.6g}") for value in row.tolist()]


def _json(t_ns: int, rows: Float32Array) -> bytes:
    return json.dumps({"t": t_ns, **dict(zip(fleet.NAMES, _rounded(rows[0]), strict=True))}).encode()


def _json_batch(t_ns: int, rows: Float32Array) -> bytes:
    return json.dumps({"t": t_ns, **dict(zip(fleet.NAMES, map(_rounded, rows.T), strict=True))}).encode()


def _pack(t_ns: int, rows: Float32Array) -> list[dict[str, object]]:
    entries: list[dict[str, object]] = []
    for index, row in enumerate(rows):
        at = {"t": round(index * fleet.STEP_NS / 1e9, 6)} if index else {}
        entries += [{"n": name, **at, "v": value} for name, value in zip(fleet.NAMES, _rounded(row), strict=True)]
    entries[0] = {"bn": "urn:dev:mac:0024befffe804ff1:", "bt": t_ns / 1e9, **entries[0]}
    return entries


def _senml(t_ns: int, rows: Float32Array) -> bytes:
    return json.dumps(_pack(t_ns, rows)).encode()


def _senml_cbor(t_ns: int, rows: Float32Array) -> bytes:
    labels = {"bn": -2, "bt": -3, "n": 0, "v": 2, "t": 6}
    return cbor2.dumps([{labels[key]: value for key, value in entry.items()} for entry in _pack(t_ns, rows)])


def _influx(t_ns: int, rows: Float32Array) -> bytes:
    cells = ",".join(f"{name}={value}" for name, value in zip(fleet.NAMES, _rounded(rows[0]), strict=True))
    return f"node,site=a {cells} {t_ns}".encode()


def _array(t_ns: int, rows: Float32Array) -> bytes:
    return struct.pack("<Q", t_ns) + np.ascontiguousarray(rows, dtype="<f4").tobytes()


def _selected(prefix: str) -> str:
    return "\n".join(f"{name} = {prefix.replace('NAME', name)}" for name in fleet.NAMES)


_JSON = _HEAD + _STAMPED + '[json.fields]\nt = "t"\n'
_SENML = (
    _HEAD
    + _OWN
    + '[senml]\nencoding = "json"\n[senml.fields]\n'
    + _selected('{ name = "urn:dev:mac:0024befffe804ff1:NAME" }')
)
_FIELDS = ", ".join(f'{{ name = "{name}", type = "f32" }}' for name in fleet.NAMES)
_BINARY = (
    _HEAD + _STAMPED + f'[binary]\nfields = [{{ name = "t", type = "u64" }}]\nsamples = {{ fields = [{_FIELDS}] }}\n'
)
CASES = [
    Case("json", 1, 20_000, _JSON + _selected('"NAME"'), _json),
    Case("json_batch", 32, 2_500, _JSON + _selected('"NAME[*]"'), _json_batch),
    Case("senml", 1, 20_000, _SENML, _senml),
    Case("senml_cbor", 1, 20_000, _SENML.replace('"json"', '"cbor"'), _senml_cbor),
    Case(
        "influx",
        1,
        20_000,
        _HEAD + _OWN + "[influx.fields]\n" + _selected('{ measurement = "node", field = "NAME" }'),
        _influx,
    ),
    Case("binary", 1, 20_000, _BINARY, _array),
    Case("binary_batch", 32, 6_000, _BINARY, _array),
]

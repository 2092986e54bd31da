"""Everything but decoders and bundles that meets bytes from outside: how each is fed, and what it may answer.

Each takes any bytes and answers, or refuses them by the errors named here; whatever else it raises is a finding. The same table is fuzzed
with coverage (`tests.fuzz.parser`) and mutated at random (tests/property/test_parsers_any_bytes.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fastcrc import crc16

from agent.bundles import sealed
from agent.bundles.slots import Slots
from agent.clock import FakeClock
from agent.commands.request import RequestError
from agent.config.broker import parse_broker
from agent.config.known_good import Book, Contents
from agent.config.schema import Config
from agent.control.client import Client
from agent.control.server import _named
from agent.decide import commissioning
from agent.decide.expression import Cells, Expression
from agent.decide.journal import GENESIS, START, Sealed, Verifier, entry, seal
from agent.decode.golden import parse_golden
from agent.decode.modbus_plan import Request
from agent.decode.profile import parse_profile
from agent.errors import ConfigError, LinkError
from agent.infer.keys import private_key, public_key, public_pem
from agent.metrics import Counters
from agent.quantities import parse_duration_ns, parse_rate_per_hour
from agent.record.format import Dropped, Opening, Taken, encode, records
from agent.sources.modbus_master import ModbusMaster
from agent.toml_structs import survey
from agent.types import Chunk
from tests.fuzz import requests
from tests.harness.agent_folder import ACCEL, AGENT, DRIVE
from tests.harness.bundles import PUBLIC
from tests.harness.commissioned import commissioning as learnt
from tests.harness.modbus_line import ScriptedLine
from tests.harness.pipelines import COUNTER, pipeline
from tests.harness.profiles import FOLDER

_T0 = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Parser:
    """`parse` raises only what is a finding; `seeds` are bytes that it understands."""

    parse: Callable[[bytes], None]
    seeds: Sequence[bytes]


def _text(data: bytes) -> str:
    """Files are read as strict UTF-8; what is none is refused before any parser."""
    return data.decode(errors="replace")


def _config(data: bytes) -> None:
    found = survey(_text(data), "agent.toml", Config)
    assert found.problems or found.value is not None
    for problem in found.problems:
        assert str(problem)


def _profile(data: bytes) -> None:
    with contextlib.suppress(ConfigError):
        parse_profile(_text(data), "profile.toml")


def _golden(data: bytes) -> None:
    with contextlib.suppress(ConfigError):
        parse_golden(_text(data), "golden.toml")


def _quantities(data: bytes) -> None:
    for parser in (parse_duration_ns, parse_rate_per_hour, parse_broker):
        with contextlib.suppress(ValueError):
            parser(_text(data))


def _expression(data: bytes) -> None:
    """One that is accepted also has a value on any window, as nobody looks at it again."""
    try:
        expression = Expression(_text(data), ["accel.x", "accel.y"])
    except ValueError:
        return
    for values in (np.zeros((2, 8)), np.full((2, 8), np.nan), np.arange(16.0).reshape(2, 8)):
        value = expression(Cells(values, 100.0))
        assert np.ndim(value) in {0, 1}


def _keys(data: bytes) -> None:
    for parser in (public_key, private_key):
        with contextlib.suppress(ConfigError):
            parser(data, "a key")


def _recording(data: bytes) -> None:
    counters = Counters()
    found = list(records(data, counters))
    assert counters["records"] == len(found)
    assert counters["damaged_bytes"] <= len(data)


def _commissioned(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        commissioning.decode(data)


def _kept(data: bytes) -> None:
    for kind in (Book, Slots):
        with contextlib.suppress(ValueError):
            found = sealed.unseal(data, kind)
            assert sealed.unseal(sealed.seal(found), kind) == found


_STATES = ("alarm/m", "fit/m", "day/m", "alarm-load")


def _snapshot(data: bytes) -> None:
    """Whatever the outbox's file says the state was, the pipeline starts, goes on, and can write it down again."""
    watched, _, _ = pipeline({"d": COUNTER})
    name = _STATES[data[0] % len(_STATES)] if data else _STATES[0]
    watched.restore({name: data[1:]})
    watched.expire(_T0)
    watched.standing("m")
    watched.report()
    watched.finish()


def _journal(data: bytes) -> None:
    """A chain whose second record is `data`, first as it is and then with a hash that fits."""
    opening = seal(entry("opening", {"reason": "new", "last": None, "missing": []}), START, _T0)
    for digest in (GENESIS, hashlib.sha256(data).hexdigest()):
        verifier = Verifier()
        verifier.add(opening)
        verifier.add(Sealed(2, data, digest))
        assert verifier.result().broken is not None, "no bytes of a stranger's continue the chain"


def _modbus(data: bytes) -> None:
    """Two bytes choose the table, the count, the transport and the cut; the rest is what comes from the wire."""
    if len(data) < 2:
        return
    table = ("coil", "discrete", "holding", "input")[data[0] % 4]
    request = Request(table, 5, 1 + data[0] // 4)
    clock = FakeClock()
    cut = 1 + data[1] // 2
    line = ScriptedLine(clock, lambda _: [data[at : at + cut] for at in range(2, len(data), cut)])
    master = ModbusMaster(line, Counters(), clock, threading.Event(), rtu=data[1] % 2 == 0)
    with contextlib.suppress(LinkError):
        answer = master.ask(17, request, 0.5)
        assert len(answer) == request.count * (1 if request.is_truth else 2)
    assert clock.monotonic_ns() <= 500_000_000


def _control_line(data: bytes) -> None:
    name, payload = _named(data)
    assert isinstance(name, str)
    assert isinstance(payload, bytes)


def _control_answer(data: bytes) -> None:
    """What something else than an agent could say on the socket that the command line asks."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(1.0)
        theirs.sendall(data.replace(b"\n", b" ")[:60_000] + b"\n")
        with contextlib.suppress(LinkError, RequestError):
            Client(ours, Path("control.sock")).ask("alarms.list", {}, dict[str, list[str]])


def _some_recording() -> bytes:
    chunk = Chunk("accel", b"\x01\x02\x03\x00", _T0, "plant/accel")
    parts = [Opening(1, "session", 0, "0.1.0"), Taken(0, chunk), Dropped(1, 2), Taken(1, chunk)]
    return b"".join(map(encode, parts))


def _some_snapshots() -> list[bytes]:
    watched, _, _ = pipeline({"d": COUNTER})
    state = watched.finish().state
    return [bytes([number]) + state.get(name, b"{}") for number, name in enumerate(_STATES)]


def _some_answers() -> list[bytes]:
    body = bytes([17, 3, 4, 0, 1, 0, 2])
    rtu = body + crc16.modbus(body).to_bytes(2, "little")
    tcp = struct.pack(">HHH", 1, 0, len(body)) + body
    return [bytes([2 + 4, 40]) + rtu, bytes([2 + 4, 41]) + tcp, bytes([2 + 4, 0]) + b"\x11\x83\x06\xc1\x34"]


def _files(pattern: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(FOLDER.glob(pattern))]


# Once accepted, and then more than evaluation could bear.
_STRANGE = [b"band([accel.x], 1, [accel.x])", b"-" * 480 + b"[accel.x]", b"9" * 400 + b" * [accel.x]"]
_NO_FIELD = ACCEL.replace('sequence = { field = "n" }', 'sequence = { field = "m" }').encode()

PARSERS = {
    "commissioned": Parser(_commissioned, [commissioning.encode(learnt())]),
    "config": Parser(_config, [AGENT.encode()]),
    "control-answer": Parser(_control_answer, [b'{"status": "ok", "data": {"alarms": []}}', b'{"status": "error"}']),
    "control-line": Parser(_control_line, [b'{"command": "alarms.ack", "alarm": "a", "by": "Meier"}']),
    "expression": Parser(
        _expression, [b"rms([accel.x]) / 2 > 3 and not [accel.y] < 1e3", b"band([accel.x], 118, 122)", *_STRANGE]
    ),
    "golden-frames": Parser(_golden, _files("golden/*.toml")),
    "journal": Parser(_journal, [seal(b'{"kind": "request"}', START, _T0).record]),
    "kept": Parser(
        _kept, [sealed.seal(Book(path="agent.toml", good=Contents(text="x"))), sealed.seal(Slots(name="pump"))]
    ),
    "keys": Parser(_keys, [public_pem(PUBLIC)]),
    "modbus": Parser(_modbus, _some_answers()),
    "profile": Parser(_profile, [ACCEL.encode(), DRIVE.encode(), _NO_FIELD, *_files("*.toml")]),
    "quantities": Parser(_quantities, [b"1 per month", b"90 per year", b"1h", b"250ms", b"mqtts://broker.plant:8883"]),
    "recording": Parser(_recording, [_some_recording()]),
    "request": Parser(requests.take, requests.SEEDS),
    "snapshot": Parser(_snapshot, _some_snapshots()),
}

"""The Modbus source against pymodbus's server: RTU over a cable of pseudo-terminals, TCP over loopback, whole and broken."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from pymodbus.constants import ExcCodes

from agent.clock import SystemClock
from agent.config.checked import SerialPlace, TcpPlace
from agent.decode.decoder import Decoder
from agent.sources.buffer import ChunkBuffer
from agent.sources.modbus_bus import ModbusBus
from agent.sources.modbus_master import SilentError
from tests.harness.broker import free_port, wait_until
from tests.harness.listening import connections, hang_up
from tests.harness.modbus_slaves import HOST, Cable, Slaves
from tests.harness.profiles import make
from tests.harness.reading import collect, joined, running
from tests.harness.threads import at_work

BAUD = 115_200
# Whoever answers does so at once, where this process is given the time; only those that do not answer are waited for.
PATIENT_MS, SHORT_MS = 3_000.0, 200.0


def profile(*, rate_hz: float = 10.0, timeout_ms: float = PATIENT_MS, more: str = ""):
    """A temperature as f32 at input 0, a state as u16 at holding 10, a coil."""
    return make(
        f"""
framing = {{ kind = "message" }}
time = {{ kind = "arrival" }}
channel = [{{ name = "temperature", unit = "Cel" }}, {{ name = "state", unit = "1" }}, {{ name = "run", unit = "1" }}]
[modbus]
timeout_ms = {timeout_ms}
registers = [
  {{ name = "temperature", table = "input", address = 0, type = "f32" }},
  {{ name = "state", table = "holding", address = 10 }},
  {{ name = "run", table = "coil", address = 3 }},
]
{more}
""",
        transport="modbus",
        rate_hz=rate_hz,
    )


ONE_REGISTER = """
framing = {{ kind = "message" }}
time = {{ kind = "arrival" }}
channel = [{{ name = "a", unit = "1" }}]
[modbus]
timeout_ms = {timeout_ms}
registers = [{{ name = "a", table = "input", address = 0 }}]
"""


def small(*, rate_hz: float = 10.0, timeout_ms: float = PATIENT_MS):
    return make(ONE_REGISTER.format(timeout_ms=timeout_ms), transport="modbus", rate_hz=rate_hz)


def words(value: float) -> list[int]:
    return list(struct.unpack(">HH", struct.pack(">f", value)))


def rtu(path: Path, slaves) -> tuple[ModbusBus, ChunkBuffer]:
    buffer = ChunkBuffer(1_000_000)
    return ModbusBus(SerialPlace(str(path), BAUD), slaves, buffer, SystemClock()), buffer


def tcp(port: int, slaves) -> tuple[ModbusBus, ChunkBuffer]:
    buffer = ChunkBuffer(1_000_000)
    return ModbusBus(TcpPlace(HOST, port), slaves, buffer, SystemClock()), buffer


@pytest.fixture
def cable(tmp_path):
    with Cable(tmp_path / "tty") as joined_ends:
        yield joined_ends


def counts(bus: ModbusBus, device: str) -> dict[str, int]:
    return bus.status.device_counters[device].snapshot()


@pytest.mark.parametrize("kind", ["rtu", "tcp"])
def test_a_poll_becomes_a_record_that_the_decoder_reads(kind, cable):
    shape = profile()
    with Slaves({7: [*words(21.5), *[0] * 8, 3]}, bits=[False, False, False, True]) as slaves:
        if kind == "rtu":
            slaves.listen_rtu(cable.far)
            bus, buffer = rtu(cable.path, {"d": (7, shape)})
        else:
            bus, buffer = tcp(slaves.listen_tcp(), {"d": (7, shape)})
        with running(bus):
            chunks = collect(buffer, 2 * 7)
    batch = Decoder(shape, "d").feed(chunks)
    assert batch.values.tolist()[0] == [21.5, 3.0, 1.0]
    assert chunks[0].data == struct.pack(">fHB", 21.5, 3, 1)
    assert all(chunk.monotonic_ns is not None for chunk in chunks), "a step of the host's clock moves no sample"
    assert counts(bus, "d")["polls"] >= 2
    assert bus.status.failure("d") is not None, "stopped"


def test_a_dead_slave_costs_nine_live_ones_no_poll(cable):
    """Ten slaves on one line; the dead one takes time-outs of 200 ms in the idle time of a grid of a second."""
    rate_hz, seconds = 1.0, 6.0
    slaves_on_bus = {f"d{unit}": (unit, small(rate_hz=rate_hz)) for unit in range(1, 11)}
    slaves_on_bus["d4"] = (4, small(rate_hz=rate_hz, timeout_ms=SHORT_MS))
    with Slaves({unit: [unit] for unit in range(1, 11)}) as slaves:
        slaves.dead = {4}
        slaves.listen_rtu(cable.far)
        bus, buffer = rtu(cable.path, slaves_on_bus)
        with running(bus):
            wait_until(lambda: bus.status.is_open, 30, "open")
            time.sleep(seconds)
            assert "does not answer" in bus.status.failure("d4")
        arrived = Counter(chunk.device for chunk in buffer.take(0))
        probes = len(slaves.asked[4])
    live = [f"d{unit}" for unit in range(1, 11) if unit != 4]
    turns = [counts(bus, device)["polls"] for device in live]
    # Every turn was taken: none was skipped, and all nine had as many as there were, give or take the one under way at the end.
    assert all(counts(bus, device)["polls_skipped"] == 0 for device in live)
    assert max(turns) - min(turns) <= 1
    assert min(turns) >= rate_hz * seconds - 2
    assert [arrived[device] for device in live] == turns
    assert arrived["d4"] == 0
    assert 2 <= probes <= 5, "two failures, then after 1 s, 2 s and 4 s"
    assert counts(bus, "d4")["polls_unanswered"] == counts(bus, "d4")["polls"] == probes


def test_a_dead_slave_that_comes_back_is_found(cable):
    slaves_on_bus = {"d1": (1, small(rate_hz=2.0)), "d2": (2, small(rate_hz=2.0, timeout_ms=SHORT_MS))}
    with Slaves({1: [1], 2: [2]}) as slaves:
        slaves.dead = {2}
        slaves.listen_rtu(cable.far)
        bus, buffer = rtu(cable.path, slaves_on_bus)
        with running(bus):
            wait_until(lambda: bus.status.failure("d2") is not None and bus.status.is_open, 30, "d2 told as silent")
            assert bus.status.failure("d1") is None
            slaves.dead = set()
            wait_until(lambda: bus.status.failure("d2") is None, 30, "d2 answers again")
            assert joined(collect(buffer, 4), "d2")[:2] == b"\0\2"


@pytest.mark.parametrize("kind", ["rtu", "tcp"])
def test_exceptions_are_counted_by_code_and_shown(kind, cable):
    slaves_on_bus = {f"d{unit}": (unit, small(rate_hz=20.0)) for unit in (1, 2)}
    with Slaves({1: [1], 2: [2]}) as slaves:
        slaves.refusing = {2: ExcCodes.ILLEGAL_ADDRESS}
        if kind == "rtu":
            slaves.listen_rtu(cable.far)
            bus, _ = rtu(cable.path, slaves_on_bus)
        else:
            bus, _ = tcp(slaves.listen_tcp(), slaves_on_bus)
        with running(bus):
            wait_until(lambda: counts(bus, "d2").get("exception_2", 0) >= 5, 30, "exceptions")
            assert "exception 2, illegal data address" in bus.status.failure("d2")
            assert bus.status.failure("d1") is None
            slaves.refusing = {}
            wait_until(lambda: bus.status.failure("d2") is None, 30, "mended")
    assert counts(bus, "d1")["polls"] >= counts(bus, "d2")["exception_2"], "no back-off for a slave that answers"


@pytest.mark.parametrize("noise", [b"\0", b"\xff", b"\x55\xaa", b"\x01\x02\x03", b"\x02\x04"])
def test_stray_bytes_before_an_answer_lose_no_poll(cable, noise):
    with Slaves({1: [17]}) as slaves:
        slaves.noise = noise
        slaves.listen_rtu(cable.far)
        bus, buffer = rtu(cable.path, {"d": (1, small(rate_hz=50.0))})
        with running(bus):
            assert {chunk.data for chunk in collect(buffer, 20)} == {b"\0\x11"}
    assert not {"polls_garbled", "polls_unanswered"} & counts(bus, "d").keys()
    assert bus.status.counters["noise_bytes"] >= 10 * len(noise)


def test_an_adapter_that_echoes_is_understood(cable):
    cable.echo = True
    with Slaves({1: [17]}) as slaves:
        slaves.listen_rtu(cable.far)
        bus, buffer = rtu(cable.path, {"d": (1, small(rate_hz=50.0))})
        with running(bus):
            collect(buffer, 20)
    assert "polls_garbled" not in counts(bus, "d")


def test_garbage_on_the_line_is_told_from_silence_and_passes(cable):
    def babble(stop: threading.Event) -> None:
        while not stop.wait(0.005):
            cable.say(b"\x01\x04\x02garbage")

    with Slaves({1: [17]}) as slaves:
        slaves.dead = {1}
        slaves.listen_rtu(cable.far)
        bus, buffer = rtu(cable.path, {"d": (1, small(rate_hz=20.0, timeout_ms=SHORT_MS))})
        with running(bus):
            wait_until(lambda: bus.status.is_open, 30, "open")
            with at_work(babble):
                wait_until(lambda: "garbled" in (bus.status.failure("d") or ""), 30, "garbled")
            slaves.dead = set()
            wait_until(lambda: bus.status.failure("d") is None, 30, "clean again")
            assert joined(collect(buffer, 2), "d")[:2] == b"\0\x11"
    assert counts(bus, "d")["polls_garbled"] >= 2


def test_a_line_that_is_unplugged_is_another_fault_than_a_silent_slave(cable):
    with Slaves({1: [1]}) as slaves:
        slaves.listen_rtu(cable.far)
        bus, buffer = rtu(cable.path, {"d": (1, small()), "dead": (2, small(timeout_ms=SHORT_MS))})
        slaves.registers[2] = []
        with running(bus):
            collect(buffer, 4)
            for opened in (1, 2):
                wait_until(lambda: bus.status.failure("d") is None, 30, "d answers")
                wait_until(lambda: "unit 2" in (bus.status.failure("dead") or ""), 30, "the other is silent")
                assert bus.status.opened == opened
                cable.unplug()
                wait_until(lambda: not bus.status.is_open, 30, "seen as gone")
                wait_until(lambda: str(cable.path) in (bus.status.failure("d") or ""), 30, "the port named")
                wait_until(
                    lambda: bus.status.failure("dead") == bus.status.failure("d"), 30, "both for the same reason"
                )
                cable.plug()
                buffer.take(0)
                collect(buffer, 4)


def test_a_tcp_server_that_dies_and_comes_back_is_polled_again():
    with Slaves({1: [1]}) as slaves:
        port = slaves.listen_tcp()
        bus, buffer = tcp(port, {"d": (1, small())})
        with running(bus):
            collect(buffer, 4)
            slaves.hang_up()
            wait_until(lambda: not bus.status.is_open, 30, "seen as gone")
            wait_until(lambda: "refused" in (bus.status.failure("d") or ""), 30, "cannot connect")
            slaves.listen_tcp(port)
            buffer.take(0)
            collect(buffer, 4)
            assert bus.status.opened == 2


def test_a_half_open_connection_is_given_up_and_made_anew():
    """A server that accepts and never answers; then a real one in its place."""
    port = free_port()
    listener = socket.create_server((HOST, port))
    accepted: list[socket.socket] = []

    def accept() -> None:
        for connection in connections(listener):
            accepted.append(connection)  # noqa: PERF402 - as it comes, for the test to see

    threading.Thread(target=accept, daemon=True).start()
    bus, buffer = tcp(port, {"a": (1, small(timeout_ms=500.0)), "b": (2, small(timeout_ms=500.0))})
    with running(bus), Slaves({1: [1], 2: [2]}) as slaves:
        wait_until(lambda: len(accepted) >= 2, 30, "a second connection")
        assert not bus.status.is_open, "nobody has answered yet"
        assert "does not answer" in bus.status.failure("a")
        hang_up(listener)
        for connection in accepted:
            connection.close()
        slaves.listen_tcp(port)
        collect(buffer, 8)
        assert bus.status.failure("a") is None
        assert bus.status.opened == 1


def test_a_connection_that_stalls_while_it_is_up_is_healed(tmp_path):
    """The peer falls silent without closing, as behind a firewall that forgot the connection."""
    with Slaves({1: [1]}) as slaves:
        port = slaves.listen_tcp()
        bus, buffer = tcp(port, {"d": (1, small(timeout_ms=500.0))})
        with running(bus):
            collect(buffer, 4)
            slaves.dead = {1}
            wait_until(lambda: not bus.status.is_open, 30, "given up")
            slaves.dead = set()
            wait_until(lambda: bus.status.is_open, 30, "connected again")
            assert bus.status.failure("d") is None


def test_behind_a_gateway_a_dead_unit_does_not_end_the_connection():
    with Slaves({1: [1], 2: [2]}) as slaves:
        slaves.dead = {2}
        bus, _ = tcp(
            slaves.listen_tcp(), {"a": (1, small(rate_hz=2.0)), "b": (2, small(rate_hz=2.0, timeout_ms=SHORT_MS))}
        )
        with running(bus):
            wait_until(lambda: counts(bus, "b").get("polls_unanswered", 0) >= 3, 30, "dead for long")
            assert bus.status.failure("a") is None
            assert "unit 2" in bus.status.failure("b")
            assert bus.status.opened == 1
        assert counts(bus, "a")["polls_skipped"] == 0


def test_a_gateway_that_says_its_slave_is_silent_counts_as_silence():
    with Slaves({1: [1], 2: [2]}) as slaves:
        slaves.refusing = {2: ExcCodes.GATEWAY_NO_RESPONSE}
        bus, _ = tcp(slaves.listen_tcp(), {"a": (1, small(rate_hz=50.0)), "b": (2, small(rate_hz=50.0))})
        with running(bus):
            wait_until(lambda: counts(bus, "a").get("polls", 0) >= 50, 30, "a second of polls")
            assert counts(bus, "b")["exception_11"] <= 4, "asked ever more seldom"
            assert "gateway target" in bus.status.failure("b")


def test_a_stop_is_prompt_while_an_answer_is_awaited(cable):
    with Slaves({1: [1]}) as slaves:
        slaves.dead = {1}
        slaves.listen_rtu(cable.far)
        bus, _ = rtu(cable.path, {"d": (1, small(timeout_ms=9_000))})
        with running(bus):
            wait_until(lambda: bool(slaves.asked[1]), 30, "asked")
    assert "polls" not in counts(bus, "d"), "a poll that was given up is none"


def test_after_a_stop_no_request_goes_out_which_would_have_no_silence_before_it(tmp_path):
    bus, _ = rtu(tmp_path / "tty", {"d": (1, small())})
    stop, unit = threading.Event(), bus._units["d"]
    stop.set()
    with pytest.raises(SilentError):
        bus._ask(None, unit, unit.plan.requests[0], stop)


def test_requests_keep_the_silence_between_frames(cable):
    shape = small(rate_hz=200.0)
    with Slaves({1: [1]}) as slaves:
        slaves.listen_rtu(cable.far)
        bus, buffer = rtu(cable.path, {"d": (1, shape)})
        with running(bus):
            collect(buffer, 40)
    moments = [moment for moment, *_ in slaves.asked[1]]
    assert min(after - before for before, after in pairwise(moments)) >= 0.00175

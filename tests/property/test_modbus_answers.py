"""Answers of Modbus slaves: whole, in pieces, behind noise, wrong in every way, and any bytes at all."""

from __future__ import annotations

import contextlib
import struct
import threading
from itertools import pairwise

import pytest
from fastcrc import crc16
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clock import FakeClock
from agent.decode.modbus_plan import Request
from agent.errors import LinkError
from agent.metrics import Counters
from agent.sources.modbus_master import ModbusMaster, RefusedError, SilentError
from tests.harness.modbus_line import ScriptedLine

UNIT = 17
TABLES = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}


def sealed(body: bytes) -> bytes:
    return body + crc16.modbus(body).to_bytes(2, "little")


def body(request: Request, cells: list[int]) -> bytes:
    if request.is_truth:
        data = sum(cell << index for index, cell in enumerate(cells)).to_bytes(request.answer_bytes, "little")
    else:
        data = struct.pack(f">{len(cells)}H", *cells)
    return bytes([TABLES[request.table], len(data)]) + data


def record(request: Request, cells: list[int]) -> bytes:
    return bytes(cells) if request.is_truth else struct.pack(f">{len(cells)}H", *cells)


@st.composite
def exchanges(draw):
    table = draw(st.sampled_from(list(TABLES)))
    cell = st.integers(0, 1) if table in {"coil", "discrete"} else st.integers(0, 65_535)
    cells = draw(st.lists(cell, min_size=1, max_size=40))
    return Request(table, draw(st.integers(0, 65_000)), len(cells)), cells


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


def ask(line_pieces, request: Request, *, rtu: bool = True):
    clock, counters = FakeClock(), Counters()
    line = ScriptedLine(clock, line_pieces)
    master = ModbusMaster(line, counters, clock, threading.Event(), rtu=rtu)
    started_ns = clock.monotonic_ns()
    try:
        return master.ask(UNIT, request, 0.5), counters
    finally:
        assert clock.monotonic_ns() - started_ns <= 500_000_000, "never longer than the time-out"
        [written] = line.written
        function = struct.pack(">BHH", TABLES[request.table], request.address, request.count)
        assert written == (sealed(bytes([UNIT]) + function) if rtu else written[:6] + bytes([UNIT]) + function)


@settings(deadline=None)
@given(exchanges(), st.lists(st.integers(0, 300), max_size=6))
def test_rtu_answers_are_understood_in_any_pieces(exchange, cuts):
    request, cells = exchange
    answer = sealed(bytes([UNIT]) + body(request, cells))
    data, counters = ask(lambda _: pieces_of(answer, cuts), request)
    assert data == record(request, cells)
    assert counters["noise_bytes"] == 0


@settings(deadline=None)
@given(exchanges(), st.lists(st.integers(0, 300), max_size=6))
def test_tcp_answers_are_understood_in_any_pieces(exchange, cuts):
    request, cells = exchange

    def answer(sent: bytes):
        payload = bytes([UNIT]) + body(request, cells)
        return pieces_of(sent[:2] + b"\0\0" + len(payload).to_bytes(2, "big") + payload, cuts)

    assert ask(answer, request, rtu=False)[0] == record(request, cells)


@settings(deadline=None)
@given(exchanges(), st.binary(max_size=20), st.lists(st.integers(0, 300), max_size=4))
def test_noise_before_an_rtu_answer_loses_nothing(exchange, noise, cuts):
    request, cells = exchange
    head = bytes([UNIT, TABLES[request.table]])
    noise = noise.replace(bytes([UNIT]), b"\0")
    answer = sealed(head[:1] + body(request, cells))
    data, counters = ask(lambda _: pieces_of(noise + answer, cuts), request)
    assert data == record(request, cells)
    assert counters["noise_bytes"] == len(noise)


@settings(deadline=None)
@given(exchanges(), st.lists(st.integers(0, 300), max_size=4))
def test_an_echo_of_the_request_is_taken_off(exchange, cuts):
    request, cells = exchange
    answer = sealed(bytes([UNIT]) + body(request, cells))
    data, counters = ask(lambda sent: pieces_of(sent + answer, cuts), request)
    assert data == record(request, cells)
    assert counters["noise_bytes"] == 0


@settings(deadline=None)
@given(exchanges(), st.lists(st.binary(min_size=1, max_size=60), max_size=8), st.booleans())
def test_any_bytes_are_an_answer_or_a_fault_in_time(exchange, pieces, rtu):
    request, _ = exchange
    try:
        data, _ = ask(lambda _: pieces, request, rtu=rtu)
    except LinkError:
        return
    assert len(data) == request.count * (1 if request.is_truth else 2)


@settings(deadline=None)
@given(exchanges(), st.binary(max_size=20))
def test_any_bytes_behind_a_right_head_are_an_answer_or_a_fault(exchange, tail):
    request, _ = exchange
    head = bytes([UNIT, TABLES[request.table]])
    for answer in (head + tail, sealed(head + tail)):
        with contextlib.suppress(LinkError):
            data, _ = ask(lambda _, answer=answer: [answer], request)
            assert len(data) == request.count * (1 if request.is_truth else 2)


REQUEST = Request("holding", 5, 2)
GOOD = bytes([3, 4, 0, 1, 0, 2])


@pytest.mark.parametrize(
    ("answer", "garbled"),
    [
        (b"", False),
        (sealed(bytes([UNIT + 1]) + GOOD), True),
        (sealed(bytes([UNIT, 4]) + GOOD[1:]), True),
        (sealed(bytes([UNIT, 3, 2, 0, 1])), True),
        (sealed(bytes([UNIT, 3, 6, 0, 1, 0, 2, 0, 3])), True),
        (bytes([UNIT]) + GOOD + b"\0\0", True),
        (sealed(bytes([UNIT]) + GOOD)[:-1], True),
    ],
    ids=["silence", "another unit", "another function", "too little", "too much", "a wrong checksum", "cut short"],
)
def test_what_is_no_answer_is_none(answer: bytes, garbled: bool) -> None:
    with pytest.raises(SilentError) as caught:
        ask(lambda _: [answer] if answer else [], REQUEST)
    assert caught.value.garbled is garbled


def test_an_exception_tells_its_code() -> None:
    with pytest.raises(RefusedError) as caught:
        ask(lambda _: [sealed(bytes([UNIT, 0x83, 6]))], REQUEST)
    assert caught.value.code == 6


def test_a_late_answer_to_an_earlier_tcp_request_is_dropped() -> None:
    payload = bytes([UNIT]) + GOOD
    late, right = (number.to_bytes(2, "big") + b"\0\0\0\7" + payload for number in (999, 1))
    data, _ = ask(lambda sent: [late, sent[:2] + right[2:]], REQUEST, rtu=False)
    assert data == bytes([0, 1, 0, 2])


def test_what_no_longer_makes_sense_on_a_connection_ends_it() -> None:
    with pytest.raises(LinkError, match="no answer") as caught:
        ask(lambda _: [b"HTTP/1.1 400 Bad Request\r\n\r\n"], REQUEST, rtu=False)
    assert not isinstance(caught.value, SilentError)


@pytest.mark.parametrize("rtu", [True, False])
def test_a_line_that_never_falls_silent_is_given_up_after_a_few_kilobytes(rtu: bool) -> None:
    """A frame of this length would never be whole; without a bound each piece costs a look through all before it."""
    head = bytes([UNIT, 3]) if rtu else b"\0\1\0\0\xff\xff" + bytes([UNIT, 3])
    clock = FakeClock()
    line = ScriptedLine(clock, lambda _: [head, *[b"\x55" * 64] * 10_000])
    with pytest.raises(LinkError):
        ModbusMaster(line, Counters(), clock, threading.Event(), rtu=rtu).ask(UNIT, REQUEST, 0.5)
    assert 10_000 - len(line._left) < 100


def test_noise_without_an_answer_is_counted_to_the_last_byte() -> None:
    noise = [b"\x55" * 64] * 1_000
    clock, counters = FakeClock(), Counters()
    line = ScriptedLine(clock, lambda _: noise)
    with pytest.raises(SilentError) as caught:
        ModbusMaster(line, counters, clock, threading.Event(), rtu=True).ask(UNIT, REQUEST, 0.5)
    assert caught.value.garbled
    assert counters["noise_bytes"] == 64_000


def test_an_answer_behind_much_noise_is_found_though_its_head_is_cut_in_two() -> None:
    answer = sealed(bytes([UNIT]) + GOOD)
    noise = b"\x55" * 4_096
    data, counters = ask(lambda _: [noise + answer[:1], answer[1:]], REQUEST)
    assert data == bytes([0, 1, 0, 2])
    assert counters["noise_bytes"] == len(noise)

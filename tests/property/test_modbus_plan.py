"""Merged requests: every field is covered once, no request is over the limit, gaps are bounded, and no plan has fewer."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.decode.modbus_layout import is_truth, span
from agent.decode.modbus_plan import plan
from agent.decode.schema import ModbusRecord, Register

TYPES = st.sampled_from(["u16", "i16", "u32", "f32", "u64", "f64"])


@st.composite
def registers(draw):
    table = draw(st.sampled_from(["holding", "input", "coil", "discrete"]))
    return {
        "table": table,
        "address": draw(st.integers(0, 60) | st.integers(0, 65_532)),
        "type": "bool" if table in {"coil", "discrete"} else draw(TYPES),
    }


@st.composite
def maps(draw):
    drawn = draw(st.lists(registers(), min_size=1, max_size=12))
    return ModbusRecord(
        registers=[Register(name=f"r{index}", **each) for index, each in enumerate(drawn)],
        max_registers=draw(st.integers(4, 125)),
        max_bits=draw(st.integers(1, 2_000)),
        max_gap=draw(st.integers(0, 20)),
        one_request_per_field=draw(st.booleans()),
    )


def limit(modbus, request):
    return modbus.max_bits if request.is_truth else modbus.max_registers


def memory(table, address):
    """What a slave holds: its table and address tell every register from every other."""
    salt = ["holding", "input", "coil", "discrete"].index(table)
    return (address * 7 + salt * 13) % 65_536


def answer(request):
    cells = [memory(request.table, request.address + i) for i in range(request.count)]
    return bytes(cell % 2 for cell in cells) if request.is_truth else struct.pack(f">{len(cells)}H", *cells)


@settings(deadline=None)
@given(maps())
def test_the_record_holds_every_field_in_the_profiles_order(modbus):
    planned = plan(modbus)
    expected = b""
    for register in modbus.registers:
        cells = [memory(register.table, register.address + i) for i in range(span(register))]
        expected += bytes(cell % 2 for cell in cells) if is_truth(register) else struct.pack(f">{len(cells)}H", *cells)
    assert planned.record([answer(request) for request in planned.requests]) == expected


@settings(deadline=None)
@given(maps())
def test_no_request_is_over_the_limit_or_reads_more_unused_registers_in_a_row_than_allowed(modbus):
    for request in plan(modbus).requests:
        assert 1 <= request.count <= limit(modbus, request)
        assert request.address + request.count <= 65_536
        used = {
            register.address + i
            for register in modbus.registers
            if register.table == request.table
            for i in range(span(register))
        }
        unused = 0
        for address in range(request.address, request.address + request.count):
            unused = 0 if address in used else unused + 1
            assert unused <= modbus.max_gap
        assert {request.address, request.address + request.count - 1} <= used, "nothing unused at either end"


@settings(deadline=None)
@given(maps())
def test_every_field_is_in_one_request(modbus):
    planned = plan(modbus)
    for register, (home, start, end) in zip(modbus.registers, planned.places, strict=True):
        request = planned.requests[home]
        size = 1 if is_truth(register) else 2
        assert (request.table, request.address + start // size) == (register.table, register.address)
        assert end - start == size * span(register)
    assert {home for home, _, _ in planned.places} == set(range(len(planned.requests)))
    if modbus.one_request_per_field:
        assert len(planned.requests) == len(modbus.registers)


@given(maps())
@settings(max_examples=200, deadline=None)
def test_no_other_cut_of_the_sorted_fields_needs_fewer_requests(modbus):
    """Dynamic programming over every way to cut the sorted fields into runs that the slave allows."""
    if modbus.one_request_per_field:
        return
    fields = sorted(modbus.registers, key=lambda each: (each.table, each.address, span(each)))

    def allowed(run):
        end = run[0].address
        for each in run:
            if each.table != run[0].table or each.address - end > modbus.max_gap:
                return False
            end = max(end, each.address + span(each))
        return end - run[0].address <= (modbus.max_bits if is_truth(run[0]) else modbus.max_registers)

    fewest = [0] + [len(fields)] * len(fields)
    for end in range(1, len(fields) + 1):
        fewest[end] = min(fewest[start] + 1 for start in range(end) if allowed(fields[start:end]))
    assert len(plan(modbus).requests) == fewest[-1]


def test_an_energy_meters_map_is_read_in_few_requests():
    floats = [Register(name=f"v{i}", table="input", address=2 * i, type="f32") for i in range(40)]
    meter = ModbusRecord(
        registers=[*floats, Register(name="kwh", table="input", address=342, type="f32")], max_registers=80
    )
    assert [(request.address, request.count) for request in plan(meter).requests] == [(0, 80), (342, 2)]

"""Modbus registers as a binary record: what a slave answers, field by field, is decoded like any other packed record."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from agent.decode.schema import BinaryField, BinaryRecord, ModbusRecord, Profile, Register, WordOrder
from agent.toml_structs import Found

_TRUTH_TABLES = ("coil", "discrete")


def with_record(profile: Profile) -> Profile:
    """The profile with the binary record that its registers make, where it has registers and no other record."""
    if profile.modbus is None or profile.binary is not None:
        return profile
    return msgspec.structs.replace(profile, binary=record_of(profile.modbus))


def record_of(modbus: ModbusRecord) -> BinaryRecord:
    """The record of one poll: big-endian, since that is the byte order of a register on the wire."""
    fields = [_field(register, word_order(modbus, register)) for register in modbus.registers]
    return BinaryRecord(fields=fields, endian="big", bits=modbus.bits)


def is_truth(register: Register) -> bool:
    """True where the register is a coil or a discrete input, a bit on the wire and a byte in the record."""
    return register.table in _TRUTH_TABLES


def span(register: Register) -> int:
    """How many addresses of its table a field takes."""
    return 1 if is_truth(register) else _width_bytes(register) // 2


def word_order(modbus: ModbusRecord, register: Register) -> WordOrder:
    """How the bytes of a number follow each other."""
    return register.word_order or modbus.word_order


def problems(profile: Profile) -> Iterator[Found]:
    """What is wrong with a profile's registers: key path, what, remedy."""
    modbus = profile.modbus
    if (modbus is not None) != (profile.transport == "modbus"):
        remedy = 'transport = "modbus" and a [modbus] table belong together'
        yield ("transport",), f"transport '{profile.transport}' does not go with its tables", remedy
    if modbus is None:
        return
    if profile.binary != record_of(modbus):
        yield ("binary",), "the record of a Modbus slave is made of its registers", "leave [binary] out"
    if not modbus.registers:
        yield ("modbus", "registers"), "no register is read", "name those that its channels need"
    for index, register in enumerate(modbus.registers):
        for key, what, remedy in _register(modbus, register):
            yield ("modbus", "registers", index, key), what, remedy


def _register(modbus: ModbusRecord, register: Register) -> Iterator[tuple[str, str, str]]:
    if register.type is not None and is_truth(register) != (register.type == "bool"):
        remedy = "coils and discrete inputs are bool; a bit of a register is named in modbus.bits"
        yield "type", f"{register.type} cannot be read from the {register.table} table", remedy
        return
    if register.address + span(register) > 1 << 16:
        yield "address", f"{register.type} at {register.address} ends beyond the last address 65535", "check the map"
    if span(register) > modbus.max_registers:
        what = f"{register.type} does not fit a request of {modbus.max_registers} registers"
        yield "type", what, "raise modbus.max_registers"
    if span(register) == 4 and word_order(modbus, register) in {"CDAB", "BADC"}:
        remedy = "ABCD is all big-endian, DCBA all little-endian; else read two numbers of 32 bits"
        yield "word_order", f"a number of 64 bits cannot be {word_order(modbus, register)}", remedy


def _field(register: Register, order: WordOrder) -> BinaryField:
    if is_truth(register) or register.type == "bool":
        return BinaryField(name=register.name, type="u8")
    kind = register.type or "u16"
    if _width_bytes(register) == 4 and order in {"CDAB", "BADC"}:
        return BinaryField(name=register.name, type=kind, word_order=order)
    # In a number of one register only the order of its two bytes is left of the word order.
    little = order in ({"BADC", "DCBA"} if _width_bytes(register) == 2 else {"DCBA"})
    return BinaryField(name=register.name, type=kind, endian="little" if little else None)


def _width_bytes(register: Register) -> int:
    if register.type is None or register.type == "bool":
        return 2
    return int(register.type[1:]) // 8

"""Modbus in the agent's file and in profiles: every mistake at its line, and buses that are shared or are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config.check import check
from agent.config.checked import ModbusPlace, SerialPlace, TcpPlace
from agent.errors import ConfigError
from tests.harness.agent_folder import AgentFolder
from tests.harness.profiles import make

METER = """
maker = "Test"
model = "Meter"
source = "this test"
transport = "modbus"
baud = 19200
rate_hz = 1.0
silent_after_s = 5.0
framing = { kind = "message" }
time = { kind = "arrival" }
channel = [{ name = "power", unit = "W" }]
[modbus]
registers = [{ name = "power", table = "input", address = 0, type = "f32" }]
"""


@pytest.fixture
def agent(tmp_path: Path) -> AgentFolder:
    folder = AgentFolder(tmp_path)
    folder.profile("meter", METER)
    (tmp_path / "ttyBUS").touch()
    return folder


def with_devices(agent: AgentFolder, *places: str, profile: str = "meter") -> None:
    for number, place in enumerate(places):
        agent.text += f'[[device]]\nid = "m{number}"\nprofile = "{profile}"\nmodbus = {{ {place} }}\n'
    agent.write()


def problems(agent: AgentFolder) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check(agent.config)
    return [str(problem) for problem in caught.value.problems]


def warnings(agent: AgentFolder) -> list[str]:
    return [str(warning) for warning in check(agent.config).warnings if "no machine uses it" not in str(warning)]


def test_slaves_share_a_bus_by_port_and_by_host(agent: AgentFolder) -> None:
    (agent.folder / "by-id").symlink_to(agent.folder / "ttyBUS")
    with_devices(
        agent,
        'port = "ttyBUS", unit = 3',
        'port = "by-id", unit = 254',
        'host = "10.0.0.5", unit = 1',
        'host = "10.0.0.5", unit = 2',
        'host = "10.0.0.5", tcp_port = 503',
    )
    places = [check(agent.config).devices[f"m{number}"].place for number in range(5)]
    line = SerialPlace(str(agent.folder / "ttyBUS"), 19_200)
    assert places == [
        ModbusPlace(line, 3),
        ModbusPlace(line, 254),
        ModbusPlace(TcpPlace("10.0.0.5", 502), 1),
        ModbusPlace(TcpPlace("10.0.0.5", 502), 2),
        ModbusPlace(TcpPlace("10.0.0.5", 503), 1),
    ]
    assert warnings(agent) == []


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (("unit = 1",), "a Modbus slave is on a serial line or at a host"),
        (('port = "ttyBUS", host = "h"',), "a Modbus slave is on a serial line or at a host"),
        (('port = "ttyBUS", unit = 0',), "device[2].modbus.unit: 0 is no slave's address"),
        (('host = "h", unit = 256',), "device[2].modbus.unit: 256 is no slave's address"),
        (('host = ""',), "device[2].modbus.host: '' is no host"),
        (('host = "h", tcp_port = 0',), "0 is no TCP port"),
        (('host = "h", baud = 9600',), "a host has no baud rate"),
        (('port = "ttyBUS"', 'port = "ttyBUS"'), "device[3].modbus.unit: the unit 1 of the bus"),
        (('host = "H"', 'host = "h"'), "already is the device 'm0'"),
        (
            ('port = "ttyBUS"', 'port = "ttyBUS", unit = 2, baud = 9600'),
            "is 19200 baud 8N1 for another slave and 9600 baud 8N1",
        ),
        (('port = "ttyBUS"', 'port = "ttyBUS", unit = 2, parity = "even"'), "19200 baud 8E1 for this one"),
        (('port = "ttyACCEL"',), "already belongs to the device 'accel' (only Modbus slaves share a port)"),
        (('port = "ttyBUS", speed = 1',), "unknown key 'speed'"),
    ],
)
def test_a_mistake_is_told_at_its_place(agent: AgentFolder, places: tuple[str, ...], expected: str) -> None:
    with_devices(agent, *places)
    found = problems(agent)
    assert len(found) == 1
    assert expected in found[0]


def test_a_device_has_one_transport_and_that_of_its_profile(agent: AgentFolder) -> None:
    with_devices(agent, 'port = "ttyBUS"', profile="accel-cobs")
    assert "speaks over serial" in problems(agent)[0]


def test_a_serial_profile_without_a_baud_rate_needs_one_on_a_line(agent: AgentFolder) -> None:
    agent.profile("meter", METER.replace("baud = 19200\n", ""))
    with_devices(agent, 'port = "ttyBUS"', 'host = "h"')
    assert ["the baud rate is not known" in problem for problem in problems(agent)] == [True]


def test_a_bus_that_is_asked_for_too_much_is_warned_of_once(agent: AgentFolder) -> None:
    agent.profile(
        "meter", METER.replace("rate_hz = 1.0", "rate_hz = 20.0").replace("[modbus]", "[modbus]\ntimeout_ms = 10")
    )
    with_devices(agent, *(f'port = "ttyBUS", unit = {unit}' for unit in range(1, 6)))
    [warning] = warnings(agent)
    assert "from this slave on" in warning
    assert "19200 baud" in warning


def test_a_time_out_that_does_not_fit_between_polls_is_warned_of(agent: AgentFolder) -> None:
    agent.profile("fast", METER.replace("rate_hz = 1.0", "rate_hz = 5.0"))
    with_devices(agent, 'host = "h"')
    agent.text += '[[device]]\nid = "fast"\nprofile = "fast"\nmodbus = { host = "h", unit = 2 }\n'
    agent.write()
    [warning] = warnings(agent)
    assert "a time-out of 0.5 s does not fit between polls every 0.2 s" in warning


REGISTERS = """
framing = {{ kind = "{framing}" }}
time = {{ kind = "arrival" }}
channel = [{{ name = "a", unit = "1" }}]
{extra}
[modbus]
max_registers = {most}
registers = [{{ name = "a", {register} }}]
"""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"register": 'table = "coil", address = 0, type = "u16"'},
            "registers[0].type: u16 cannot be read from the coil table",
        ),
        ({"register": 'table = "input", address = 0, type = "bool"'}, "bool cannot be read from the input table"),
        ({"register": 'table = "input", address = 65535, type = "u32"'}, "ends beyond the last address 65535"),
        ({"register": 'table = "input", address = 65536'}, "modbus.registers[0].address: Expected `int` <= 65535"),
        (
            {"most": 1, "register": 'table = "input", address = 0, type = "u32"'},
            "does not fit a request of 1 registers",
        ),
        ({"register": 'table = "input", address = 0, type = "u64", word_order = "CDAB"'}, "cannot be CDAB"),
        ({"framing": "lines"}, "framing 'lines' does not go with transport 'modbus'"),
        ({"extra": 'binary = { fields = [{ name = "a", type = "u16" }] }'}, "is made of its registers"),
        ({"transport": "mqtt"}, "transport 'mqtt' does not go with its tables"),
    ],
)
def test_a_mistake_in_a_profile_is_told_at_its_place(changes: dict[str, str], expected: str) -> None:
    transport = changes.pop("transport", "modbus")
    parts = {"framing": "message", "extra": "", "most": "125", "register": 'table = "input", address = 0', **changes}
    with pytest.raises(ConfigError) as caught:
        make(REGISTERS.format(**parts), transport=transport)
    assert any(expected in str(problem) for problem in caught.value.problems), caught.value


def test_bits_of_a_register_and_every_word_order_are_decoded() -> None:
    from agent.decode.decoder import Decoder
    from agent.types import Chunk

    orders = ["ABCD", "CDAB", "BADC", "DCBA"]
    fields = "\n".join(
        f'{{ name = "{order.lower()}", table = "input", address = {4 * i}, type = "u32", word_order = "{order}" }},'
        for i, order in enumerate(orders)
    )
    channels = "\n".join(f'[[channel]]\nname = "{order.lower()}"\nunit = "1"' for order in orders)
    profile = make(
        f"""
framing = {{ kind = "message" }}
time = {{ kind = "arrival" }}
[modbus]
registers = [
{fields}
{{ name = "low", table = "holding", address = 0, word_order = "DCBA" }},
{{ name = "status", table = "holding", address = 1 }},
]
bits = [{{ name = "fault", of = "status", low = 3, high = 3 }}]
{channels}
[[channel]]
name = "low"
unit = "1"
[[channel]]
name = "fault"
unit = "1"
""",
        transport="modbus",
    )
    number = 0x010203  # exact in float32
    a, b, c, d = number.to_bytes(4, "big")
    record = bytes([a, b, c, d, c, d, a, b, b, a, d, c, d, c, b, a, 7, 0, 0, 8])
    batch = Decoder(profile, "d").feed([Chunk("d", record, 0)])
    assert batch.values.tolist() == [[number, number, number, number, 7, 1]]

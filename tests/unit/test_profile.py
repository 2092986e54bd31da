"""Firmware profiles: shipped ones are sound, and every mistake is named at its line with what to do."""

import pytest

from agent.decode.profile import parse_profile
from agent.errors import ConfigError
from tests.harness.profiles import (
    ARRIVING_LINES,
    COUNTED,
    STAMPED_JSON,
    check_mistake,
    problems,
    profile_text,
    shipped,
    shipped_names,
)


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_profiles_are_sound_and_name_their_units(name):
    profile = shipped(name)
    assert all(channel.unit for channel in profile.channel)
    assert profile.source


@pytest.mark.parametrize(
    ("base", "old", "new", "said"),
    [
        (COUNTED, "crc16-modbus", "crc16-modbuss", "checksum.name: unknown checksum 'crc16-modbuss' (did you mean 'crc16-modbus'?)"),
        (COUNTED, 'name = "a", unit', 'name = "aa", unit', "channel[0].name: the record has no field 'aa' (did you mean 'a'?)"),
        (COUNTED, 'sequence = { field = "n" }', "", "counter time needs a sequence counter"),
        (COUNTED, 'sequence = { field = "n" }', 'sequence = { field = "b" }', "a counter cannot be f32"),
        (COUNTED, 'sequence = { field = "n" }', 'sequence = { field = "n", bits = 24 }', "u16 holds no 24 bits"),
        (COUNTED, 'unit = "1", scale', 'unit = "", scale', "channel[0].unit: '' is no UCUM unit"),
        (COUNTED, 'unit = "1", scale', 'unit = "°C", scale', "'°C' is no UCUM unit (write 'Cel')"),
        (COUNTED, "scale = 0.5", "scale = 0", "channel[0].scale: a scale of 0.0 loses the reading"),
        (COUNTED, "scale = 0.5", "minimum = 2, maximum = 1", "the range 2.0 to 1.0 is empty (swap the two)"),
        (COUNTED, 'name = "b", unit', 'name = "a", unit', "the channel 'a' is given twice"),
        (COUNTED, 'name = "a", type', 'name = "b", type', "the field 'b' is given twice"),
        (COUNTED, '"cobs"', '"lines"', "a binary record may contain the delimiter"),
        (COUNTED, '"cobs"', '"message"', "framing 'message' does not go with transport 'serial'"),
        (COUNTED, '"cobs"', '"cobs", delimiter = ";"', "framing 'cobs' has no delimiter of its own to set"),
        (COUNTED, '"counter"', '"device"', "the key 'field' is missing (device time needs field = ...)"),
        (COUNTED, '"counter"', '"device", field = "n", unit = "s"', "a Unix time does not fit u16"),
        (COUNTED, '"counter"', '"device", field = "n", unit = "rfc3339"', "a binary record holds no RFC 3339 text"),
        (COUNTED, '"counter"', '"arrival", unit = "s"', "time of kind 'arrival' has no unit"),
        (COUNTED, "binary = {", 'csv = { columns = ["n"] }\nbinary = {', "binary and csv record format is given"),
        (ARRIVING_LINES, 'columns = ["a", "b"]', "columns = []", "the record has no fields"),
        (ARRIVING_LINES, 'kind = "lines"', 'kind = "lines", delimiter = ""', "the delimiter is empty"),
        (ARRIVING_LINES, "skip_prefixes", 'separator = "", skip_prefixes', "the separator is empty"),
        (ARRIVING_LINES, "time =", 'checksum = { name = "crc16-modbus" }\ntime =', "a line of text carries no binary checksum"),
        (ARRIVING_LINES, "time =", 'sequence = { field = "a" }\ntime =', "the key 'bits' is missing"),
        (ARRIVING_LINES, "channel = [", "chanel = []\nchannel = [", "unknown key 'chanel' (did you mean 'channel'?)"),
        (ARRIVING_LINES, 'name = "a"', 'name = "a b", field = "a"', "'a b' is no channel name"),
        (STAMPED_JSON, "deep[1].a", "deep[x].a", "json.fields.a: 'deep[x].a' is no path"),
        (STAMPED_JSON, 'b = "b"', 'b = "deep"', "'b' names a value where 'a' needs an object"),
        (STAMPED_JSON, 'b = "b"', 'b = "deep.b"', "need an object and an array in one place"),
    ],
)  # fmt: skip
def test_each_mistake_is_named(base, old, new, said):
    check_mistake(base, old, new, said, "mqtt" if base is STAMPED_JSON else "serial")


def test_problems_carry_file_and_line():
    text = profile_text(COUNTED.replace("crc16-modbus", "crc99").replace('"counter"', '"arrival", unit = "s"'))
    line = next(number for number, line in enumerate(text.splitlines(), 1) if "crc99" in line)
    with pytest.raises(ConfigError) as caught:
        parse_profile(text, "node.toml")
    assert len(caught.value.problems) == 2
    assert caught.value.problems[0].where == f"node.toml:{line}: checksum.name"


def test_no_channels_and_no_format_are_both_said_at_once():
    found = problems('framing = { kind = "lines" }\ntime = { kind = "arrival" }\nchannel = []')
    assert any("no record format" in problem for problem in found)
    assert any("no channel" in problem for problem in found)

"""Line protocol: escapes, strings, types and times as the syntax page has them, and broken lines that cost no good one."""

import math

import numpy as np
import pytest

from agent.decode.decoder import Decoder
from agent.decode.encode import Encoder
from agent.types import Chunk, TimeQuality
from tests.harness.profiles import make

T0 = 1_700_000_000_000_000_000
PROFILE = """
framing = { kind = "message", max_frame_bytes = 100000 }
time = { kind = "device" }
channel = [{ name = "a", unit = "1" }, { name = "b", unit = "1", states = { open = 1, "a \\"b\\\\" = 2, true = 3 } }]
[influx.fields]
a = { measurement = "m, x", tags = { "t=g" = "v 1" }, field = "f 1" }
b = { measurement = "m", field = "s" }
"""
A = r"m\,\ x,other=1,t\=g=v\ 1"


def decoder(profile=PROFILE, **changes):
    for old, new in changes.items():
        assert old in profile
        profile = profile.replace(old, new)
    return Decoder(make(profile, transport="mqtt"), "d")


def read(text, device=None):
    return (device or decoder()).feed([Chunk("d", text.encode(), T0)])


def test_escaped_names_and_tags_select_a_series():
    batch = read(f"{A} f\\ 1=2.5,g=1 {T0}\nm,t=x s=7 {T0 + 5}")
    np.testing.assert_array_equal(batch.values, [[2.5, math.nan], [math.nan, 7]])
    assert (batch.t_ns - T0).tolist() == [0, 5]
    assert batch.time_quality is TimeQuality.DEVICE


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("0", 0), ("-0.0", 0), ("1i", 1), ("-12i", -12), ("12u", 12), ("1.5e3", 1500), ("1E-2", 0.01), ("+3.", 3), (".5", 0.5),
        ("t", 1), ("T", 1), ("true", 1), ("True", 1), ("TRUE", 1), ("f", 0), ("F", 0), ("false", 0), ("False", 0), ("FALSE", 0),
        ('"12.5"', 12.5),
    ],
)  # fmt: skip
def test_typed_values(cell, value):
    assert read(f"{A} f\\ 1={cell} {T0}").values[0, 0] == np.float32(value)


@pytest.mark.parametrize(
    ("cell", "value"), [('"open"', 1), (r'"a \"b\\"', 2), ("true", 3), ("false", 0), ("4", 4), ('"5"', 5)]
)
def test_words_are_numbers_by_the_profile(cell, value):
    assert read(f"m s={cell} {T0}").values[0, 1] == value


def test_a_string_may_hold_everything_that_separates():
    batch = read(f'm note="a, b=c 1\n# {A} f\\ 1=9",s=1 {T0}\nm s=2 {T0 + 1}')
    assert batch.values[:, 1].tolist() == [1, 2]


@pytest.mark.parametrize(
    "line",
    [
        "m", "m ", "m s", "m s=", "m s=1x", "m s=1 x", "m s=1 1 1", "m,t s=1", "m,t= s=1", ",t=1 s=1", 'm s="open', "m s=1,",
        "m s=12u3", "m s=1i2", "m s=-1u", "m s=nan", "m s=1_0", "m s=1 99999999999999999999", " m s=1", "m  ,s=1", "m s=\\", "\\",
    ],
)  # fmt: skip
def test_a_broken_line_is_counted_and_costs_no_other(line):
    device = decoder()
    assert read(f"{line}\nm s=8 {T0}\n", device).values[:, 1].tolist() == [8]
    assert device.counters["row_errors"] == 1
    alone = decoder()
    assert read(line, alone) is None
    assert alone.counters["decode_errors"] == 1


def test_comments_blank_lines_and_carriage_returns_are_no_lines():
    device = decoder()
    assert read(f"# m s=1\r\n\n   \nm s=2 {T0}\r\n\r\n", device).values[:, 1].tolist() == [2]
    assert device.counters["row_errors"] == 0


def test_messages_of_other_series_are_skipped():
    device = decoder()
    assert read(f"m other=1 {T0}\nn s=1 {T0}\nm\\,\\ x,t\\=g=w f\\ 1=1 {T0}", device) is None
    assert device.counters["skipped"] == 1
    assert device.counters["resync_bytes"] == 0


def test_lines_of_one_time_are_one_sample_until_a_channel_repeats():
    batch = read(f"{A} f\\ 1=1 {T0}\nm s=2 {T0}\nm s=3 {T0}\n{A} f\\ 1=4 {T0}")
    np.testing.assert_array_equal(batch.values, [[1, 2], [4, 3]])
    assert batch.t_ns.tolist() == [T0, T0]


def test_a_line_without_a_time_was_taken_when_it_arrived():
    batch = read("m s=1")
    assert batch.t_ns.tolist() == [T0]
    assert batch.time_quality is TimeQuality.ARRIVAL


def test_times_may_be_coarse_or_left_alone():
    coarse = decoder().feed  # nanoseconds unless the profile says otherwise
    assert coarse([Chunk("d", b"m s=1 1700000000", T0)]).t_ns.tolist() == [1_700_000_000]
    seconds = decoder(PROFILE.replace("[influx.fields]", 'influx.precision = "s"\n[influx.fields]'))
    assert seconds.feed([Chunk("d", b"m s=1 1700000000", 1)]).t_ns.tolist() == [T0]
    arriving = decoder(PROFILE.replace('"device"', '"arrival"'))
    batch = arriving.feed([Chunk("d", f"{A} f\\ 1=1 5\nm s=2 6".encode(), T0)])
    assert batch.values.tolist() == [[1, 2]]
    assert batch.t_ns.tolist() == [T0]


def test_long_unterminated_strings_cost_time_in_proportion_to_their_length():
    device = decoder()
    assert read('m s="' * 15_000, device) is None  # a regular expression that tries again would take minutes
    assert read("m" + ",a=b" * 20_000, device) is None
    assert read("m s=1" + ",s=1" * 20_000 + "x", device) is None
    assert device.counters["decode_errors"] == 3


def test_the_encoder_writes_what_is_read():
    profile = make(PROFILE, transport="mqtt")
    payload = Encoder(profile).frame([1.5, 2.0], T0)
    assert b'"a \\"b\\\\"' in payload
    assert Decoder(profile, "d").feed([Chunk("d", payload, T0)]).values.tolist() == [[1.5, 2.0]]
    assert Encoder(profile).frame([math.nan, math.nan], T0) == b""


def test_lines_come_over_serial_too():
    profile = make(PROFILE.replace('kind = "message"', 'kind = "lines"'))
    encoder = Encoder(profile)
    stream = encoder.frame([math.nan, 1.0], T0) + encoder.frame([math.nan, 3.0], T0 + 1)
    assert Decoder(profile, "d").feed([Chunk("d", stream, T0)]).values[:, 1].tolist() == [1, 3]

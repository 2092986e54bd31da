"""JSON messages of several samples, and words that stand for numbers."""

import math

import numpy as np
import pytest

from agent.decode.decoder import Decoder
from agent.decode.encode import Encoder
from agent.decode.json_records import EACH, parse_path
from agent.errors import ConfigError
from agent.types import Chunk
from tests.harness.profiles import make

T0 = 1_700_000_000_000_000_000
ROWS = """
framing = { kind = "message", max_frame_bytes = 100000 }
json = { fields = { t = "t", n = "n", x = "data.samples[*].x", y = "data.samples[*].y[1]", temp = "temp" } }
sequence = { field = "n", bits = 16 }
time = { kind = "device", field = "t", unit = "ms" }
channel = [{ name = "x", unit = "1" }, { name = "y", unit = "1" }, { name = "temp", unit = "Cel" }]
"""
COLUMNS = """
framing = { kind = "message" }
json = { fields = { x = "x[*]", y = "y[*]" } }
time = { kind = "arrival" }
channel = [{ name = "x", unit = "1" }, { name = "y", unit = "1", states = { ON = 1, OFF = 0, true = 7 } }]
"""


def read(body, *texts, decoder=None):
    decoder = decoder or Decoder(make(body, transport="mqtt"), "d")
    return decoder.feed([Chunk("d", text.encode(), T0 + i * 10**9) for i, text in enumerate(texts)])


def test_one_message_of_many_samples():
    batch = read(
        ROWS,
        '{"t":1000,"n":65534,"temp":21,"data":{"samples":[{"x":1,"y":[9,2]},{"x":3,"y":[9,4]},{"x":5,"y":[9,6]}]}}',
    )
    assert batch.values.tolist() == [[1, 2, 21], [3, 4, 21], [5, 6, 21]]
    assert batch.t_ns.tolist() == [
        1_000_000_000,
        1_100_000_000,
        1_200_000_000,
    ]  # rate_hz is 10: the time is that of the first
    assert batch.lost == 0


def test_the_counter_is_that_of_the_first_sample():
    decoder = Decoder(make(ROWS, transport="mqtt"), "d")
    sample = '{"x":1,"y":[0,1]}'
    first = f'{{"t":0,"n":10,"data":{{"samples":[{sample},{sample}]}}}}'
    second = f'{{"t":300,"n":13,"data":{{"samples":[{sample}]}}}}'
    assert read(ROWS, first, second, second, decoder=decoder).lost == 1
    assert decoder.counters["repeated"] == 1
    assert decoder.frame_balance().missing == 0


def test_each_sample_may_have_its_own_time():
    body = ROWS.replace('t = "t"', 't = "data.samples[*].t"').replace('sequence = { field = "n", bits = 16 }\n', "")
    batch = read(body, '{"data":{"samples":[{"t":5,"x":1},{"t":4,"x":2}]}}')
    assert batch.t_ns.tolist() == [4_000_000, 5_000_000]
    np.testing.assert_array_equal(batch.values[:, 0], [2, 1])


def test_arrays_in_the_place_of_numbers_are_none():
    batch = read(COLUMNS.replace(", states = { ON = 1, OFF = 0, true = 7 }", ""), '{"x":[1,2],"y":[[1],[2]]}')
    np.testing.assert_array_equal(batch.values, [[1, math.nan], [2, math.nan]])


def test_columns_of_arrays():
    batch = read(COLUMNS, '{"x":[1,null,3],"y":["ON","OFF",true]}')
    np.testing.assert_array_equal(batch.values, [[1, 1], [math.nan, 0], [3, 7]])
    assert (batch.t_ns - T0).tolist() == [-200_000_000, -100_000_000, 0]


def test_a_sample_without_numbers_costs_no_other():
    decoder = Decoder(make(COLUMNS, transport="mqtt"), "d")
    assert read(COLUMNS, '{"x":[1,null,3],"y":[1,"?",1]}', decoder=decoder).values.tolist() == [[1, 1], [3, 1]]
    assert decoder.counters["row_errors"] == 1
    assert decoder.frame_balance().missing == 0


@pytest.mark.parametrize(
    "text",
    [
        '{"x":[1,2],"y":[1]}',
        '{"x":[],"y":[]}',
        "{}",
        '{"x":1,"y":[1]}',
        '{"x":[null],"y":[null]}',
        "[]",
        '{"x":{"0":1}}',
    ],
)
def test_a_message_without_samples_or_with_uneven_arrays_is_counted(text):
    decoder = Decoder(make(COLUMNS, transport="mqtt"), "d")
    assert read(COLUMNS, '{"x":[1],"y":[1]}', text, decoder=decoder).values.tolist() == [[1, 1]]
    assert decoder.counters["decode_errors"] == 1
    assert decoder.balance().missing == decoder.frame_balance().missing == 0


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ('"ON"', 1),
        ('"OFF"', 0),
        ("true", 7),
        ("false", 0),
        ("5", 5),
        ('"6"', 6),
        ('"on"', None),
        ("{}", None),
        ("[1]", None),
    ],
)
def test_words_are_numbers_by_the_profile(cell, value):
    batch = read(COLUMNS, f'{{"x":[0],"y":[{cell}]}}')
    np.testing.assert_array_equal(batch.values[0, 1], math.nan if value is None else value)


def test_words_in_csv_too():
    body = """
    framing = { kind = "lines" }
    csv = { columns = ["a", "b"] }
    time = { kind = "arrival" }
    channel = [{ name = "a", unit = "1", states = { RUN = 1, STOP = 0 } }, { name = "b", unit = "1" }]
    """
    profile = make(body)
    batch = Decoder(profile, "d").feed([Chunk("d", b"\nRUN,2\nSTOP,3\n5,4\n", T0)])
    assert batch.values.tolist() == [[1, 2], [0, 3], [5, 4]]
    assert Encoder(profile).frame([1.0, 2.0], T0) == b"\nRUN,2.0\n"


def test_the_encoder_sends_one_sample_a_message():
    profile = make(ROWS, transport="mqtt")
    payload = Encoder(profile).frame([1.0, 2.0, 3.0], T0)
    assert Decoder(profile, "d").feed([Chunk("d", payload, T0)]).values.tolist() == [[1, 2, 3]]


def test_paths():
    assert parse_path("a[*].b[2].c") == ["a", EACH, "b", 2, "c"]
    with pytest.raises(ValueError, match="two arrays"):
        parse_path("a[*].b[*]")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('y = "y[*]"', 'y = "x[0]"', "take one and every element of the same array"),
        ('y = "y[*]"', 'y = "x.a"', "need an object and an array in one place"),
        ('y = "y[*]"', 'y = "x[*].a"', "names a value where"),
        ('y = "y[*]"', 'y = "y[**]"', "is no path"),
        ("ON = 1", "ON = inf", "inf is no finite number"),
    ],
)
def test_mistakes_are_named(old, new, said):
    assert old in COLUMNS
    with pytest.raises(ConfigError, match="(?s).*" + said.replace("*", r"\*")):
        make(COLUMNS.replace(old, new), transport="mqtt")

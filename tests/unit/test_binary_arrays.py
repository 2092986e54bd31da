"""Raw arrays: a frame holds as many samples as it has room for, with an optional header of counter and time."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decode.decoder import Decoder
from agent.decode.encode import Encoder
from agent.errors import ConfigError
from agent.types import Chunk
from tests.harness.profiles import make

T0 = 1_700_000_000_000_000_000
BARE = """
framing = { kind = "message", max_frame_bytes = 65536 }
binary = { fields = [], samples = { fields = [{ name = "x", type = "i16" }, { name = "y", type = "i16" }] } }
time = { kind = "arrival" }
channel = [{ name = "x", unit = "1", scale = 0.5 }, { name = "y", unit = "1" }]
"""
HEADED = """
framing = { kind = "message", max_frame_bytes = 65536 }
binary = { fields = [{ name = "n", type = "u32" }, { name = "t", type = "u64" }], samples = { fields = [{ name = "x", type = "f32" }] } }
sequence = { field = "n" }
time = { kind = "device", field = "t", unit = "ms" }
channel = [{ name = "x", unit = "1" }]
"""


def chunks(*payloads):
    return [Chunk("d", payload, T0 + i * 10**9) for i, payload in enumerate(payloads)]


def headed(first, t_ms, *values):
    return struct.pack(f"<IQ{len(values)}f", first, t_ms, *values)


def test_messages_of_different_lengths_in_one_call():
    batch = Decoder(make(BARE, transport="mqtt"), "d").feed(
        chunks(struct.pack("<4h", 2, 1, 4, 2), struct.pack("<2h", 6, 3), struct.pack("<4h", 8, 4, 10, 5))
    )
    assert batch.values.tolist() == [[1, 1], [2, 2], [3, 3], [4, 4], [5, 5]]
    assert (batch.t_ns - T0).tolist() == [-100_000_000, 0, 1_000_000_000, 1_900_000_000, 2_000_000_000]


def test_a_header_counts_and_stamps_the_first_sample():
    decoder = Decoder(make(HEADED, transport="mqtt"), "d")
    batch = decoder.feed(
        chunks(headed(0, 1_000, 1, 2, 3), headed(3, 1_300, 4), headed(6, 1_600, 7, 8), headed(6, 1_600, 7, 8))
    )
    assert batch.values[:, 0].tolist() == [1, 2, 3, 4, 7, 8]
    assert (batch.t_ns // 1_000_000).tolist() == [1_000, 1_100, 1_200, 1_300, 1_600, 1_700]
    assert batch.lost == 2
    assert decoder.counters["repeated"] == 2
    assert decoder.frame_balance().missing == 0


@pytest.mark.parametrize("payload", [b"\x01", struct.pack("<3h", 1, 2, 3)])
def test_half_a_sample_is_no_sample(payload):
    decoder = Decoder(make(BARE, transport="mqtt"), "d")
    assert decoder.feed(chunks(payload, struct.pack("<2h", 6, 3))).values.tolist() == [[3, 3]]
    assert decoder.counters["decode_errors"] == 1
    assert decoder.feed(chunks(struct.pack("<IQ", 1, 1)[:11])) is None
    assert decoder.balance().missing == decoder.frame_balance().missing == 0


@given(st.lists(st.integers(0, 40), max_size=8))
def test_all_samples_arrive_in_their_order(counts):
    decoder, payloads, first = Decoder(make(HEADED, transport="mqtt"), "d"), [], 0
    for count in counts:
        payloads.append(headed(first, first * 100, *range(first, first + count)))
        first += count
    batch = decoder.feed(chunks(*payloads))
    assert ([] if batch is None else batch.values[:, 0].tolist()) == list(map(float, range(first)))
    assert decoder.counters["decode_errors"] == counts.count(0)


def test_memory_is_bounded_for_frames_of_every_length():
    decoder = Decoder(make(BARE, transport="mqtt"), "d")
    decoder.feed(chunks(*[bytes(4 * count) for count in range(1, 300)]))
    assert len(decoder._format._formats) <= 64


def test_the_encoder_sends_one_sample_a_message():
    profile = make(HEADED, transport="mqtt")
    encoder = Encoder(profile)
    batch = Decoder(profile, "d").feed(chunks(encoder.frame([1.0], T0), encoder.frame([2.0], T0)))
    np.testing.assert_array_equal(batch.values, [[1], [2]])


def test_a_frame_without_an_end_needs_a_count():
    with pytest.raises(ConfigError, match="has no end of its own"):
        make(BARE.replace('kind = "message", max_frame_bytes = 65536', 'kind = "sync", sync = "a5"'))

"""Whatever the bytes and however they are cut: no exception, an exact balance, the same samples, and the good frames are found."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.decode.decoder import Decoder
from agent.decode.encode import Encoder
from agent.decode.framing import DelimitedFramer
from agent.types import Chunk
from tests.harness.decoding import check_decoded_or_counted
from tests.harness.profiles import COUNTED, make, shipped, shipped_names

T0 = 1_700_000_000_000_000_000
PROFILES = {name: shipped(name) for name in shipped_names()}
SERIAL = sorted(name for name, profile in PROFILES.items() if profile.transport == "serial")
COUNTING = make(COUNTED)

texts = st.text('0123456789.,:{}[]"tsnxz-\r\n', max_size=60).map(str.encode)
TOPICS = [
    "spBv1.0/g/NBIRTH/n",
    "spBv1.0/g/NDEATH/n",
    "spBv1.0/g/DDATA/n/pump",
    "spBv1.0/g/NDATA/n",
    "spBv1.0/g/X/n",
    "a/b",
    "",
]
streams = st.lists(st.binary(max_size=60) | texts | st.just(b"\0") | st.just(b"\n"), max_size=12)


def _real_frames(profile, count):
    return [payload for _, payload in _real_messages(profile, count)]


def _real_messages(profile, count):
    """Topics and payloads of `count` samples, or of a whole frame where that holds more."""
    encoder = Encoder(profile)
    rows = range(max(count, profile.frame_samples))
    sent = [encoder.messages([float(i)] * len(profile.channel), T0 + i * 10**9, "plant/n") for i in rows]
    return [message for messages in sent for message in messages]


@given(st.sampled_from(sorted(PROFILES)), streams, st.randoms(use_true_random=False), st.data())
@settings(deadline=None, max_examples=300)
def test_any_bytes_are_decoded_or_counted(name, pieces, random, data):
    profile = PROFILES[name]
    topics = st.sampled_from(TOPICS) if profile.sparkplug else st.just("")
    pieces = [(data.draw(topics), piece) for piece in pieces] + _real_messages(profile, 3)
    random.shuffle(pieces)
    chunks = [Chunk("d", piece, T0 + i, topic) for i, (topic, piece) in enumerate(pieces)]
    check_decoded_or_counted(profile, chunks)


@given(st.sampled_from(SERIAL), streams, st.lists(st.integers(0, 400), max_size=20))
@settings(deadline=None)
def test_where_the_stream_is_cut_makes_no_difference_to_values(name, pieces, cuts):
    profile = PROFILES[name]
    stream = b"".join(pieces + _real_frames(profile, 3))
    edges = [0, *sorted({min(cut, len(stream)) for cut in cuts}), len(stream)]
    whole = Decoder(profile, "d").feed([Chunk("d", stream, T0)])
    parts = [Chunk("d", stream[a:b], T0) for a, b in pairwise(edges)]
    together, one_by_one = Decoder(profile, "d").feed(parts), Decoder(profile, "d")
    separate = [batch for part in parts if (batch := one_by_one.feed([part])) is not None]
    if whole is None:
        assert together is None
        assert separate == []
        return
    np.testing.assert_array_equal(together.values, whole.values)
    if profile.time.kind != "device":  # samples in device time are sorted within a call
        np.testing.assert_array_equal(np.concatenate([batch.values for batch in separate]), whole.values)


@given(st.binary(max_size=300), st.integers(1, 40))
def test_after_any_junk_all_frames_but_the_one_it_ran_into_are_read(junk, count):
    decoder = Decoder(COUNTING, "d")
    frames = _real_frames(COUNTING, count)
    frames[0] = frames[0].lstrip(b"\0")  # so that the junk runs into it
    batch = decoder.feed([Chunk("d", junk + b"".join(frames), T0)])
    values = [] if batch is None else batch.values[:, 1].tolist()
    expected = [float(i) for i in range(count)]
    assert values[len(values) - (count - 1) :] == expected[1:] if count > 1 else len(values) <= 1


@given(st.integers(5, 30), st.data())
def test_flipped_bits_cost_the_frames_they_hit_and_no_other(count, data):
    frames = _real_frames(COUNTING, count)
    hit = data.draw(st.integers(1, count - 2))
    broken = bytearray(frames[hit])
    # CRC-16 sees every error of one or two bits; the delimiter itself may go too, which joins two frames.
    bit = data.draw(st.integers(0, len(broken) * 8 - 1))
    broken[bit // 8] ^= 1 << bit % 8
    frames[hit] = bytes(broken)
    decoder = Decoder(COUNTING, "d")
    values = decoder.feed([Chunk("d", b"".join(frames), T0)]).values[:, 1].tolist()
    kept = [float(i) for i in range(count) if i not in (hit, hit + 1)]
    assert [value for value in values if value != hit + 1] == kept
    assert decoder.counters["checksum_errors"] + decoder.counters["decode_errors"] + decoder.counters["overlong"] >= 1
    assert decoder.balance().missing == 0


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=10), st.sampled_from([b"\0", b"\r\n", b"aba"]))
def test_framers_account_for_every_byte(stream, cuts, delimiter):
    framer = DelimitedFramer(delimiter, 16)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    frames = [f for a, b in pairwise(edges) for f in framer.cut([stream[a:b]])[0]]
    assert sum(map(len, frames)) + framer.delimiter_bytes + framer.skipped_bytes + framer.held_bytes == len(stream)
    assert framer.held_bytes <= 16
    assert all(0 < len(frame) <= 16 for frame in frames)

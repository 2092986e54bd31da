"""Every framing with every checksum and layout: however the stream is cut, joined or disturbed, frames are found and bytes add up."""

from __future__ import annotations

import functools
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.decode.checksum import CATALOGUE
from agent.decode.decoder import Decoder
from agent.decode.encode import Encoder
from agent.decode.frame_shape import frame_shape
from agent.decode.framing import HeaderFramer, framer
from agent.decode.pieces import Pieces
from agent.decode.profile import Profile
from agent.decode.stuffing import BROKEN, STUFFINGS, decode_slip, encode_slip
from agent.types import Chunk
from tests.harness.profiles import make
from tests.harness.wire import FEW_CHECKSUMS, FRAMINGS, HEADED, LAYOUTS, profile_of

T0 = 1_700_000_000_000_000_000
_cached = functools.cache(profile_of)

framings, headed, checksums, layouts = map(st.sampled_from, (list(FRAMINGS), HEADED, FEW_CHECKSUMS, list(LAYOUTS)))
cuts = st.lists(st.integers(0, 500), max_size=15)
# Noise of the bytes that mean something to one of the framings, or of any.
noises = st.lists(
    st.sampled_from([0, 1, 2, 0x10, 0x42, 0x4D, 0x55, 0xA5, 0xAA, 0xB5, 0x62, 0xC0, 0xDB, 0xDC, 0xDD, 0xFF]),
    max_size=80,
).map(bytes) | st.binary(max_size=80)


def _frames(profile: Profile, count: int) -> list[bytes]:
    """Frames whose channels say which one it is; what begins the first one stays with it."""
    encoder = Encoder(profile)
    samples = profile.frame_samples
    sent = [
        encoder.frame([index // samples % 8 - 4.0, float(index // samples)], T0) for index in range(count * samples)
    ]
    return [frame for frame in sent if frame]


def _decoded(profile: Profile, pieces: list[bytes]) -> tuple[list[list[float]], Decoder]:
    decoder = Decoder(profile, "d")
    batches = [decoder.feed([Chunk("d", piece, T0)]) for piece in pieces]
    rows = [row for batch in batches if batch is not None for row in batch.values.tolist()]
    balance = decoder.balance()
    assert balance.entered == sum(map(len, pieces))
    assert balance.missing == 0
    assert decoder.frame_balance().missing == 0
    return rows, decoder


def _bytes_and_frames(decoder: Decoder) -> dict[str, int]:
    """The counters that arrival times do not touch."""
    return {name: count for name, count in decoder.counters.snapshot().items() if name != "reanchored"}


def _cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({min(place, len(stream)) for place in places}), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


def _expected(profile: Profile, indices: list[int]) -> list[list[float]]:
    return [[index % 8 - 4.0, float(index)] for index in indices for _ in range(profile.frame_samples)]


@given(framings, checksums, layouts, st.integers(1, 6), cuts)
@settings(deadline=None, max_examples=300)
def test_what_was_encoded_is_decoded_however_it_is_cut(framing, checksum, layout, count, places):
    profile = _cached(framing, checksum, layout)
    stream = b"".join(_frames(profile, count))
    for pieces in ([stream], _cut(stream, places), [stream[at : at + 1] for at in range(len(stream))]):
        rows, decoder = _decoded(profile, pieces)
        assert rows == _expected(profile, list(range(count)))
        assert decoder.counters["resync_bytes"] == decoder.counters["checksum_errors"] == decoder.counters["lost"] == 0


@given(framings, checksums, layouts, noises, noises, cuts)
@settings(deadline=None, max_examples=300)
def test_any_noise_is_counted_and_makes_no_difference_to_where_it_is_cut(
    framing, checksum, layout, before, after, places
):
    profile = _cached(framing, checksum, layout)
    frames = _frames(profile, 4)
    stream = before + frames[0] + frames[1] + after + frames[2] + frames[3]
    whole, decoder = _decoded(profile, [stream])
    cut, other = _decoded(profile, _cut(stream, places))
    single, _ = _decoded(profile, [stream[at : at + 1] for at in range(len(stream))])
    assert whole == cut == single
    assert _bytes_and_frames(decoder) == _bytes_and_frames(other)


@given(framings, st.sampled_from(["crc16-modbus", "crc32-iso-hdlc"]), layouts, noises)
@settings(deadline=None, max_examples=300)
def test_noise_costs_no_frame_but_the_one_that_it_hits(framing, checksum, layout, noise):
    """A delimited frame that noise runs into is lost; a sync word or a length behind noise is found at once."""
    profile = _cached(framing, checksum, layout)
    frames = _frames(profile, 5)
    rows, _ = _decoded(profile, [frames[0] + frames[1] + noise + frames[2] + frames[3] + frames[4]])
    survivors = [0, 1, 2, 3, 4] if framing in HEADED else [0, 1, 3, 4]
    assert [row for row in rows if row in _expected(profile, survivors)] == _expected(profile, survivors)


@given(headed, layouts, st.data())
@settings(deadline=None, max_examples=200)
def test_a_flipped_bit_costs_its_frame_and_no_other(framing, layout, data):
    profile = _cached(framing, "crc16-modbus", layout)
    frames = _frames(profile, 5)
    hit = data.draw(st.integers(0, 4))
    broken = bytearray(frames[hit])
    bit = data.draw(st.integers(0, 8 * len(broken) - 1))
    broken[bit // 8] ^= 1 << bit % 8
    frames[hit] = bytes(broken)
    rows, _ = _decoded(profile, frames)
    assert rows == _expected(profile, [index for index in range(5) if index != hit])


@given(headed, checksums, st.lists(noises, max_size=30))
@settings(deadline=None, max_examples=100)
def test_memory_is_bounded_by_the_longest_frame(framing, checksum, pieces):
    profile = _cached(framing, checksum, "plain")
    cut, longest = framer(profile), frame_shape(profile).longest
    for piece in pieces:
        cut.cut([piece])
        assert cut.held_bytes < longest


TEXT = """
framing = {{ kind = "length", max_frame_bytes = 60, length = {{ width = {width}, endian = "{endian}", counts = "{counts}" }} }}
checksum = {{ name = "crc16-modbus", covers = "{covers}" }}
json = {{ fields = {{ a = "a", b = "b" }} }}
time = {{ kind = "arrival" }}
channel = [{{ name = "a", unit = "1" }}, {{ name = "b", unit = "1" }}]
"""


@given(
    st.sampled_from([1, 2, 4]), st.sampled_from(["little", "big"]), st.sampled_from(["payload", "payload+checksum", "frame"]),
    st.sampled_from(["record", "frame"]), st.lists(st.integers(0, 10**9), min_size=1, max_size=5), noises, cuts,
)  # fmt: skip
@settings(deadline=None, max_examples=200)
def test_frames_of_varying_length_are_found_behind_noise(width, endian, counts, covers, numbers, noise, places):
    profile = make(TEXT.format(width=width, endian=endian, counts=counts, covers=covers))
    encoder = Encoder(profile)
    frames = [encoder.frame([number, 1.0], T0) for number in numbers]
    # Behind them, enough for whatever length the noise claims to be judged.
    stream = noise + b"".join(frames) + b"\xff" * 64
    rows, _ = _decoded(profile, _cut(stream, places))
    wanted = [[float(np.float32(number)), 1.0] for number in numbers]
    assert rows[len(rows) - len(wanted) :] == wanted


@given(st.sampled_from(sorted(CATALOGUE)), st.sampled_from(["little", "big"]), st.sampled_from(["cobs", "length-2"]))
@settings(deadline=None)
def test_every_checksum_of_the_catalogue_closes_and_opens(name, endian, framing):
    body = f'{FRAMINGS[framing]}\nchecksum = {{ name = "{name}", endian = "{endian}" }}\n{LAYOUTS["plain"]}'
    profile = make(body)
    rows, _ = _decoded(profile, _frames(profile, 3))
    assert rows == _expected(profile, [0, 1, 2])


@given(headed, checksums, layouts)
@settings(deadline=None)
def test_a_checksum_may_cover_what_precedes_the_record(framing, checksum, layout):
    profile = _cached(framing, checksum, layout, "frame")
    rows, _ = _decoded(profile, _frames(profile, 3))
    assert rows == _expected(profile, [0, 1, 2])


@given(st.binary(max_size=600))
def test_slip_is_undone_and_its_end_never_occurs_inside(record):
    frame = encode_slip(record)
    assert b"\xc0" not in frame
    assert decode_slip(frame) == record


@given(st.sampled_from(sorted(STUFFINGS)), st.binary(max_size=100))
def test_a_frame_is_unstuffed_or_called_broken(kind, frame):
    stuffing = STUFFINGS[kind]
    frame = frame.replace(stuffing.end, b"")
    try:
        record = stuffing.decode(frame)
    except BROKEN:
        with pytest.raises(BROKEN):
            stuffing.decode_frames(Pieces.of([b"\x02\x01", frame]))
        return
    assert list(stuffing.decode_frames(Pieces.of([frame, frame]))) == [record, record]
    if kind == "slip":
        assert stuffing.encode(record) == frame


@pytest.mark.parametrize("framing", HEADED)
def test_the_framers_of_headed_frames_count_a_broken_frame_once(framing):
    profile = _cached(framing, "crc16-modbus", "plain")
    frames = _frames(profile, 40)
    broken = bytearray(frames[10])
    broken[-1] ^= 0xFF
    cut = framer(profile)
    assert isinstance(cut, HeaderFramer)
    records, _ = cut.cut([b"".join([*frames[:10], bytes(broken), *frames[11:]])])
    assert (len(records), cut.checksum_errors, cut.skipped_bytes) == (39, 1, len(broken))

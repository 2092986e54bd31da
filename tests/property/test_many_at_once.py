"""What is done to many frames at once gives what it gives one after another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.decode.checksum import CATALOGUE
from agent.decode.checksum_rows import ChecksumRows
from agent.decode.pieces import Pieces
from agent.decode.schema import ChecksumRule
from agent.decode.seal import seal
from agent.decode.sequence import SequenceTracker
from agent.decode.stuffing import STUFFINGS

AFFINE = sorted(name for name in CATALOGUE if name.startswith(("crc", "xor")))
# Bytes that mean something to a stuffing come often.
octets = st.one_of(st.sampled_from(b"\x00\x01\xc0\xdb\xdc\xdd\xff"), st.integers(0, 255))
records = st.lists(octets, min_size=1, max_size=40).map(bytes)


@pytest.mark.parametrize("name", AFFINE)
def test_the_checksums_of_rows_are_those_of_each(name):
    algorithm, _ = CATALOGUE[name]
    rows = np.random.default_rng(5).integers(0, 256, (20, 9), dtype=np.uint8)
    together = ChecksumRows(algorithm)
    assert together.of(rows).tolist() == [algorithm(bytes(row)) for row in rows]
    assert together.of(rows[:, :4]).tolist() == [algorithm(bytes(row)) for row in rows[:, :4]]


@pytest.mark.parametrize("name", sorted(set(CATALOGUE) - set(AFFINE)))
def test_a_sum_is_not_taken_for_a_crc(name):
    assert not ChecksumRows(CATALOGUE[name][0]).pays(10_000, 8)


@given(
    st.sampled_from(["crc8-smbus", "crc16-modbus", "crc32-iso-hdlc", "sum16"]),
    st.sampled_from(["little", "big"]),
    st.data(),
)
@settings(deadline=None)
def test_many_short_records_are_opened_as_one_is(name, endian, data):
    each = seal(ChecksumRule(name=name, endian=endian))
    sealed = [each.close(n.to_bytes(4, "big")) for n in range(300)]
    for index in data.draw(st.lists(st.integers(0, 299), max_size=5)):
        sealed[index] = sealed[index][:-1] + bytes([sealed[index][-1] ^ 1])
    opened, good = each.open_all(Pieces.of(sealed))
    assert [record if right else None for record, right in zip(opened, good.tolist(), strict=True)] == [
        each.open(s) for s in sealed
    ]


@given(st.sampled_from(sorted(STUFFINGS)), st.lists(records, max_size=12), st.lists(octets, max_size=400).map(bytes))
@settings(deadline=None)
def test_many_frames_are_unstuffed_as_one_is(kind, several, long):
    stuffing = STUFFINGS[kind]
    for wanted in (several, several * 100, [*several * 100, long + b"1"]):
        frames = [stuffing.encode(record) for record in wanted]
        assert list(stuffing.decode_frames(Pieces.of(frames))) == wanted
        # As a framer leaves them, between their delimiters.
        stream = stuffing.end.join([b"", *frames, b""])
        ends = np.cumsum([len(frame) + 1 for frame in frames], dtype=np.int64)
        starts = ends - [len(frame) for frame in frames]
        assert list(stuffing.decode_frames(Pieces(stream, starts, ends))) == wanted


@given(
    st.integers(1, 6), st.lists(st.tuples(st.sampled_from([0, 0, 0, 0, 1, -1, 5, 40, -90]), st.booleans()), max_size=40),
    st.integers(0, 255), st.sampled_from([0, 20]),
)  # fmt: skip
@settings(deadline=None)
def test_frames_are_counted_as_their_samples_are(samples, frames, first, max_late):
    whole, single = (SequenceTracker(256, samples, max_late) for _ in range(2))
    counter, parts = first, [[]]
    for slip, is_cut in frames:
        parts[-1].append(counter % 256)
        counter += samples + slip
        if is_cut:
            parts.append([])
    for part in parts:
        counters = np.array(part, dtype=np.int64)
        found = whole.track(counters, samples)
        wanted = single.track((counters[:, np.newaxis] + np.arange(samples)).ravel())
        assert found.fresh.tolist() == wanted.fresh.tolist()
        assert found.position.tolist() == wanted.position.tolist()
        assert found.anew.tolist() == wanted.anew.tolist()
        assert (found.lost, found.repeated, found.late) == (wanted.lost, wanted.repeated, wanted.late)

"""Profiles of framings, checksums and layouts: every mistake is named, and records of several kinds or samples are told apart."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent.decode.decoder import Decoder
from agent.decode.encode import Encoder
from agent.types import Chunk
from tests.harness.profiles import ARRIVING_LINES, check_mistake, make

T0 = 1_700_000_000_000_000_000

SYNC = """
framing = { kind = "sync", sync = "a5 5a" }
checksum = { name = "sum8" }
time = { kind = "arrival" }
channel = [{ name = "a", unit = "1" }]
match = {}
[binary]
fields = [{ name = "kind", type = "u8" }, { name = "a", type = "u16" }, { name = "f", type = "f32" }]
bits = [{ name = "flag", of = "kind", low = 7, high = 7 }]
"""

LENGTH = SYNC.replace('"sync", sync = "a5 5a"', '"length", length = { width = 1 }')

BLOCK = """
framing = { kind = "cobs" }
checksum = { name = "crc16-modbus" }
sequence = { field = "n" }
time = { kind = "counter" }
channel = [{ name = "x", unit = "1" }, { name = "t", unit = "Cel" }]
[binary]
fields = [{ name = "n", type = "u8" }, { name = "t", type = "i16" }]
[binary.samples]
count = 4
fields = [{ name = "x", type = "i16" }]
"""


@pytest.mark.parametrize(
    ("base", "old", "new", "said"),
    [
        (SYNC, 'checksum = { name = "sum8" }', "", "without a checksum nothing tells a frame"),
        (SYNC, '"a5 5a"', '"a5 5"', "framing.sync: 'a5 5' is no sync word"),
        (SYNC, '"a5 5a"', '"0102030405"', "is no sync word"),
        (SYNC, ', sync = "a5 5a"', "", "framing 'sync' and a sync word of ''"),
        (SYNC, '"sum8"', '"sum9"', "unknown checksum 'sum9' (did you mean 'sum8'?)"),
        (SYNC, "match = {}", "match = { kind = [1] }", "nothing says how long a frame is"),
        (SYNC, 'sync = "a5 5a"', 'sync = "a5 5a", length = { width = 3 }', "3 is no choice here"),
        (SYNC, 'sync = "a5 5a"', 'sync = "a5 5a", length = { width = 4, offset = 9 }', "the length lies behind the record"),
        (SYNC, '"sum8"', '"sum8", encoding = "hex"', "framing 'sync' carries no text"),
        (SYNC, '"sum8"', '"sum8", start = "$"', "a binary checksum has neither start nor marker"),
        (SYNC, '"sum8"', '"sum8", every_bytes = 2', "the record of 7 bytes is no whole number of groups of 2"),
        (SYNC, '"sync", sync = "a5 5a"', '"cobs", length = { width = 1 }', "framing 'cobs' has no length"),
        (SYNC, '{ kind = "sync", sync = "a5 5a" }\nchecksum = { name = "sum8" }', '{ kind = "slip" }\nchecksum = { name = "sum8", covers = "frame" }', "nothing beside the record"),
        (LENGTH, "length = { width = 1 }", 'delimiter = ";"', "framing 'length' has no delimiter of its own to set"),
        (LENGTH, ", length = { width = 1 }", "", "the key 'length' is missing"),
        (LENGTH, "width = 1", "width = 1, offset = 1", "nothing stands before the length"),
        (LENGTH, '{ name = "f", type = "f32" }]', '{ type = "pad", size = 300 }]', "it cannot tell how long a frame of this record is (widen it)"),
        (LENGTH, "match = {}", "match = { knd = [1] }", "the record has no field 'knd' (did you mean 'kind'?)"),
        (LENGTH, "match = {}", "match = { kind = [] }", "no value is wanted"),
        (LENGTH, "match = {}", 'match = { kind = ["a"] }', "a binary field holds no text"),
        (SYNC, '{ name = "a", type = "u16" }', '{ name = "a", type = "u16", word_order = "CDAB" }', "binary.fields[1]: a field of type u16 is no number of four bytes"),
        (SYNC, '{ name = "f", type = "f32" }', '{ name = "f", type = "f32", word_order = "CDAB", endian = "big" }', "both say the order"),
        (SYNC, '{ name = "f", type = "f32" }', '{ name = "f", type = "pad" }', "reserved bytes have neither a name nor an order"),
        (SYNC, '{ name = "f", type = "f32" }', '{ type = "f32" }', "a field of type f32 has no name"),
        (SYNC, '{ name = "f", type = "f32" }', '{ name = "f", type = "f32", size = 4 }', "the type f32 says how large the field is"),
        (SYNC, 'of = "kind"', 'of = "kin"', "binary.bits[0].of: the record has no field 'kin' (did you mean 'kind'?)"),
        (SYNC, 'of = "kind"', 'of = "f"', "'f' is no integer"),
        (SYNC, "high = 7", "high = 8", "'kind' has no bit 8 (its bits are 0 to 7)"),
        (SYNC, "low = 7, high = 7", "low = 3, high = 2", "bits 3 to 2 are none"),
        (SYNC, 'name = "flag"', 'name = "a"', "the field 'a' is given twice"),
        (BLOCK, 'sequence = { field = "n" }', 'sequence = { field = "x" }', "'x' is a field of the samples"),
        (BLOCK, '[{ name = "x", type = "i16" }]', "[]", "the block has no fields"),
        (SYNC, 'time = { kind = "arrival" }', 'sequence = { field = "a", counts = "frames" }\ntime = { kind = "arrival" }', "a frame is one sample here"),
        (ARRIVING_LINES, "time =", 'checksum = { name = "xor8", encoding = "hex", marker = "" }\ntime =', "the marker is empty"),
    ],
)  # fmt: skip
def test_each_mistake_is_named(base, old, new, said):
    check_mistake(base, old, new, said)


@pytest.mark.parametrize("body", [SYNC, LENGTH, BLOCK])
def test_the_profiles_before_those_mistakes_are_sound(body):
    assert make(body).channel


def feed(profile, *pieces):
    decoder = Decoder(profile, "d")
    return decoder.feed([Chunk("d", piece, T0) for piece in pieces]), decoder


class TestKinds:
    def test_binary_frames_of_another_kind_are_skipped_whatever_their_size(self):
        profile = make(LENGTH.replace("match = {}", "match = { kind = [1, 2] }"))

        def frame(record):
            return bytes([len(record)]) + record + bytes([sum(record) & 0xFF])

        ours = frame(bytes([2, 5, 0, 0, 0, 0, 0]))
        other, short, broken = frame(bytes([3, 5, 0, 0, 0, 0, 0])), frame(b"\x09\x01"), frame(bytes([1, 5]))
        batch, decoder = feed(profile, other + ours + short + broken + ours)
        assert batch.values.tolist() == [[5.0], [5.0]]
        assert (decoder.counters["skipped"], decoder.counters["decode_errors"]) == (2, 1)
        assert decoder.balance().missing == decoder.frame_balance().missing == 0

    def test_the_encoder_sends_the_kind_that_is_wanted(self):
        profile = make(LENGTH.replace("match = {}", "match = { kind = [7, 8] }"))
        frame = Encoder(profile).frame([3.0], T0)
        assert frame[1] == 7
        assert feed(profile, frame)[0].values.tolist() == [[3.0]]

    def test_lines_of_another_kind_are_skipped_whatever_their_cells(self):
        body = ARRIVING_LINES.replace("time =", 'match = { a = ["1", 2] }\ntime =')
        batch, decoder = feed(make(body), b"\n1,5\n3,5\n2,6\n9\n1,2,3\n")
        assert batch.values.tolist() == [[1, 5], [2, 6]]
        assert (decoder.counters["skipped"], decoder.counters["decode_errors"]) == (2, 1)


class TestBlocks:
    def test_a_frame_is_sent_when_its_block_is_full(self):
        encoder = Encoder(make(BLOCK))
        sent = [encoder.frame([float(i), 20.0], T0) for i in range(8)]
        assert [bool(frame) for frame in sent] == [False, False, False, True] * 2

    def test_samples_are_spaced_by_the_rate_and_share_what_stands_before_them(self):
        profile = make(BLOCK, rate_hz=100.0)
        encoder = Encoder(profile)
        batch, decoder = feed(profile, b"".join(encoder.frame([float(i), 20.0 + i // 4], T0) for i in range(8)))
        assert batch.values.tolist() == [[float(i), 20.0 + i // 4] for i in range(8)]
        assert np.diff(batch.t_ns).tolist() == [10_000_000] * 7
        assert (decoder.counters["frames"], decoder.counters["samples"]) == (2, 8)
        assert decoder.frame_balance().missing == 0

    @pytest.mark.parametrize("counts", ["samples", "frames"])
    def test_a_lost_frame_is_as_many_lost_samples_across_the_wrap(self, counts):
        profile = make(BLOCK.replace('field = "n"', f'field = "n", counts = "{counts}"'), rate_hz=100.0)
        encoder = Encoder(profile)
        frames = [frame for i in range(4 * 300) if (frame := encoder.frame([float(i), 0.0], T0))]
        kept = frames[:63] + frames[65:255] + frames[256:]
        batch, decoder = feed(profile, b"".join(kept))
        assert batch.lost == 12
        assert len(batch) == 4 * 297
        assert np.unique(np.diff(batch.t_ns)).tolist() == [10_000_000, 50_000_000, 90_000_000]
        assert decoder.counters["resets"] == 0

    def test_a_repeated_frame_is_dropped_as_a_whole(self):
        profile = make(BLOCK)
        encoder = Encoder(profile)
        frames = [frame for i in range(12) if (frame := encoder.frame([float(i), 0.0], T0))]
        batch, decoder = feed(profile, frames[0] + frames[1] + frames[1] + frames[2])
        assert len(batch) == 12
        assert (decoder.counters["repeated"], batch.lost) == (4, 0)
        assert decoder.frame_balance().missing == 0

    def test_a_device_time_is_that_of_the_first_sample(self):
        body = BLOCK.replace(
            '{ name = "t", type = "i16" }', '{ name = "t", type = "i16" }, { name = "ms", type = "u64" }'
        )
        profile = make(body.replace('kind = "counter"', 'kind = "device", field = "ms", unit = "ms"'), rate_hz=100.0)
        encoder = Encoder(profile)
        times = [T0 + i * 10_000_000 for i in range(8)]
        batch, _ = feed(profile, b"".join(encoder.frame([float(i), 0.0], t_ns) for i, t_ns in enumerate(times)))
        assert batch.t_ns.tolist() == times

    def test_no_reading_needs_a_code_in_a_block_too(self):
        encoder = Encoder(make(BLOCK))
        with pytest.raises(ValueError, match="no invalid code"):
            for _ in range(4):
                encoder.frame([math.nan, 0.0], T0)

"""Frames that begin with a sync word or a length: found whole and byte by byte, and never at the price of the next one."""

from __future__ import annotations

import pytest

from agent.decode.checksum import CATALOGUE
from agent.decode.frame_shape import FrameShape, frame_shape
from agent.decode.framing import HeaderFramer, framer
from agent.decode.layout import Layout
from agent.decode.schema import BinaryField, BinaryRecord, BitField, SampleBlock
from agent.decode.seal import GroupedSeal, HexSeal, TrailingSeal, open_each
from agent.decode.wrap import Wrapping
from tests.harness.profiles import make, shipped
from tests.harness.wire import FRAMINGS, LAYOUTS, frames_of

# 0xA5, a length of 1 to 6 payload bytes, and their sum.
SHAPE = FrameShape(b"\xa5", 1, 1, "little", 3, 4, 9, 2)


class Summed:
    def open(self, frame):
        return frame[2:-1] if sum(frame[2:-1]) & 0xFF == frame[-1] else None

    def open_all(self, frames):
        return open_each(frames, self.open)


def framed(payload):
    return b"\xa5" + bytes([len(payload)]) + payload + bytes([sum(payload) & 0xFF])


ABC, DE = framed(b"abc"), framed(b"de")
CASES = {
    "one frame": (ABC, [b"abc"], 0),
    "two frames": (ABC + DE, [b"abc", b"de"], 0),
    "noise before": (b"xyz" + ABC, [b"abc"], 3),
    "a sync word that is none": (b"\xa5\x00" + ABC, [b"abc"], 2),
    "a length that is too long": (b"\xa5\x07" + ABC, [b"abc"], 2),
    "noise that claims to run into the next frame": (b"\xa5\x05z" + ABC + DE, [b"abc", b"de"], 3),
    "a broken frame": (ABC[:-1] + b"\0" + DE, [b"de"], len(ABC)),
    "a frame torn by its successor": (ABC[:4] + DE + ABC, [b"de", b"abc"], 4),
    "a sync word inside a frame": (framed(b"\xa5\x01") + DE, [b"\xa5\x01", b"de"], 0),
    "the end of a frame in which the reader joined": (ABC[3:] + DE, [b"de"], 3),
}


@pytest.mark.parametrize(("stream", "expected", "skipped"), CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_frames_are_the_same_however_the_stream_is_cut(stream, expected, skipped, step):
    cut = HeaderFramer(SHAPE, Summed())
    records = [record for at in range(0, len(stream), step) for record in cut.cut([stream[at : at + step]])[0]]
    assert records == expected
    assert (cut.skipped_bytes, cut.held_bytes) == (skipped, 0)
    assert sum(map(len, records)) + cut.delimiter_bytes + cut.skipped_bytes == len(stream)


@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_frames_that_begin_with_their_length_are_found_behind_lengths_that_cannot_be(endian, step):
    shape = FrameShape(b"", 0, 2, endian, 3, 4, 9, 2)

    def lengthy(payload):
        return len(payload).to_bytes(2, endian) + payload + bytes([sum(payload) & 0xFF])

    noise = b"\xff" * 5
    stream = noise + lengthy(b"abc") + noise + lengthy(b"d") + lengthy(b"sixsix") + noise
    cut = HeaderFramer(shape, Summed())
    found = [cut.cut([stream[at : at + step]]) for at in range(0, len(stream), step)]
    assert [record for records, _ in found for record in records] == [b"abc", b"d", b"sixsix"]
    assert (cut.held_bytes, cut.skipped_bytes, cut.delimiter_bytes) == (1, 14, 9)
    assert (cut.overlong, cut.checksum_errors) == (0, 0)


def test_a_frame_is_completed_by_the_chunk_with_its_last_byte_though_it_began_before():
    cut = HeaderFramer(SHAPE, Summed())
    cut.cut([ABC[:2]])
    records, completed_by = cut.cut([ABC[2:4], ABC[4:] + DE, DE])
    assert (list(records), completed_by.tolist()) == ([b"abc", b"de", b"de"], [1, 1, 2])


def test_an_unfinished_frame_is_held_and_endless_noise_is_not():
    cut = HeaderFramer(SHAPE, Summed())
    assert frames_of(cut, ABC[:4]) == []
    assert cut.held_bytes == 4
    assert frames_of(cut, ABC[4:]) == [b"abc"]
    for _ in range(50):
        cut.cut([b"\xa5\xa5\x06" * 1_000])
        assert cut.held_bytes < SHAPE.longest


def test_a_broken_frame_that_looks_like_several_is_one_error():
    cut = HeaderFramer(SHAPE, Summed())
    cut.cut([b"\xa5\x05\xa5\x02\xa5\x01x\x00" + DE + DE])
    assert cut.checksum_errors == 1


@pytest.mark.parametrize(
    ("name", "size"),
    [("length-1", 1 + 12 + 2), ("length-2", 2 + 12 + 2), ("sync-1", 1 + 12 + 2), ("sync-offset", 2 + 12 + 2)],
)
def test_a_record_of_known_size_makes_frames_of_one_size(name, size):
    shape = frame_shape(make(f'{FRAMINGS[name]}\nchecksum = {{ name = "crc16-modbus" }}\n{LAYOUTS["plain"]}'))
    assert (shape.shortest, shape.longest) == (size, size)


def test_a_length_known_beforehand_serves_as_a_sync_word():
    shape = frame_shape(shipped("pms5003"))
    assert (shape.start, shape.shortest) == (b"\x42\x4d\x00\x1c", 32)


def test_the_framer_of_a_profile_gives_records():
    cut = framer(shipped("pms5003"))
    frame = bytes.fromhex("42 4d 00 1c") + bytes(26) + bytes.fromhex("00 ab")
    assert frames_of(cut, b"BBM" + frame) == [frame[2:30]]


@pytest.mark.parametrize("step", [7, 100, 1_000, 1_000_000])
def test_runs_of_frames_of_one_size_end_at_broken_ones_alone(step):
    profile = make(f'{FRAMINGS["sync-1"]}\nchecksum = {{ name = "crc16-modbus" }}\n{LAYOUTS["plain"]}')
    records = [bytes([n % 256]) + bytes(11) for n in range(500)]
    frames = [Wrapping(profile).frame(record) for record in records]
    broken = {0, 1, 50, 170, 171, 499}
    stream = b"".join(frame[:-1] + b"?" if n in broken else frame for n, frame in enumerate(frames))
    cut = framer(profile)
    chunks = [stream[at : at + step] for at in range(0, len(stream), step)]
    found, completed_by = cut.cut(chunks)
    assert list(found) == [record for n, record in enumerate(records) if n not in broken]
    assert (cut.checksum_errors, cut.skipped_bytes, cut.held_bytes) == (6, 6 * len(frames[0]), 0)
    assert sum(map(len, found)) + cut.delimiter_bytes + cut.skipped_bytes == len(stream)
    ends = [len(frames[0]) * (n + 1) for n in range(500) if n not in broken]
    assert completed_by.tolist() == [(end - 1) // step for end in ends]


class TestSeals:
    def test_a_record_shorter_than_its_checksum_is_broken(self):
        crc = TrailingSeal(*CATALOGUE["crc16-xmodem"], "big")
        assert [crc.open(data) for data in (b"", b"\0", b"\0\0")] == [None, None, None]  # the CRC of nothing is zero
        assert crc.open(b"1" + crc.close(b"1")[1:]) == b"1"

    def test_groups_must_all_be_right_and_whole(self):
        words = GroupedSeal(TrailingSeal(*CATALOGUE["crc8-nrsc-5"], "big"), 2, 1)
        frame = bytes.fromhex("beef92 6667a2")  # as in Sensirion's data sheets
        assert words.close(bytes.fromhex("beef6667")) == frame
        assert words.open(frame) == bytes.fromhex("beef6667")
        for broken in (frame[:-1], frame + b"\0", b"", bytes.fromhex("beef92 6667a3"), frame[:2]):
            assert words.open(broken) is None

    def test_hex_digits_close_a_line(self):
        nmea = HexSeal(*CATALOGUE["xor8"], "$", "*")
        line = b"$GPGLL,5300.97914,N,00259.98174,E,125926,A*28"
        record = b"GPGLL,5300.97914,N,00259.98174,E,125926,A"
        assert nmea.close(record) == line
        for said in (line, line + b"\r", line[:-2] + line[-2:].lower()):
            assert nmea.open(said) == record
        for broken in (
            line[1:],
            line[:-1],
            line[:-3],
            line[:-2] + b"2g",
            line[:-2] + b"29",
            b"",
            b"*",
            b"$*",
            line + b"0",
        ):
            assert nmea.open(broken) is None


class TestLayout:
    RECORD = BinaryRecord(
        fields=[
            BinaryField(name="a", type="u32", word_order="CDAB"),
            BinaryField(name="b", type="u32", word_order="BADC"),
            BinaryField(name="c", type="i24", endian="big"),
            BinaryField(type="pad", size=2),
            BinaryField(name="d", type="u16"),
        ],
        bits=[BitField(name="low", of="d", low=0, high=3), BitField(name="signed", of="d", low=4, high=7, signed=True)],
        samples=SampleBlock(count=2, fields=[BinaryField(name="x", type="i8"), BinaryField(name="y", type="u24")]),
    )
    WIRE = bytes.fromhex("cc dd aa bb  bb aa dd cc  ff ff fe  00 00  f5 01   ff 01 00 00   02 00 00 01")

    def test_bytes_are_read_by_hand_made_orders(self):
        rows = Layout(self.RECORD).unpack(self.WIRE)
        assert rows == [
            {"a": 0xAABBCCDD, "b": 0xAABBCCDD, "c": -2, "d": 0x01F5, "x": -1, "y": 1},
            {"x": 2, "y": 0x010000},
        ]

    def test_what_is_packed_is_what_was_unpacked(self):
        layout = Layout(self.RECORD)
        assert layout.size == len(self.WIRE)
        assert layout.pack(layout.unpack(self.WIRE)) == self.WIRE

    def test_bits_are_put_into_their_integer_and_clamped(self):
        layout = Layout(self.RECORD)
        (first, _) = layout.unpack(layout.pack([{"low": 99, "signed": -9, "d": 0x100}, {}]))
        assert first["d"] == 0x100 | 0x80 | 0x0F

    def test_fields_of_one_type_that_follow_each_other_are_read_together(self):
        x, y = (BinaryField(name=name, type="f32") for name in "xy")
        n = BinaryField(name="n", type="u16")
        block = Layout(BinaryRecord(fields=[n], samples=SampleBlock(count=4, fields=[x, y])))
        assert block.adjoining(["x", "y"]) == (slice(2, 34), "<f4")
        assert [block.adjoining(names) for names in (["y", "x"], ["x"], ["n"], ["x", "n"])] == [None] * 4
        flat = Layout(BinaryRecord(fields=[n, x, y], endian="big"))
        assert flat.adjoining(["x", "y"]) == (slice(2, 10), ">f4")
        assert flat.adjoining(["y"]) == (slice(6, 10), ">f4")

"""Framers: every case whole, byte by byte, and with trailing bytes; memory stays bounded; no byte is unaccounted for."""

import pytest

from agent.decode.framing import DelimitedFramer, MessageFramer
from tests.harness.wire import frames_of

CASES = {
    "one frame": (b"abc\n", [b"abc"], b""),
    "two frames": (b"abc\nde\n", [b"abc", b"de"], b""),
    "empty frames are none": (b"\n\nabc\n\n", [b"abc"], b""),
    "an unfinished frame is held": (b"abc\nde", [b"abc"], b"de"),
    "nothing": (b"", [], b""),
    "a frame of just the limit": (b"12345678\n", [b"12345678"], b""),
    "an overlong frame is skipped": (b"a\n123456789\nb\n", [b"a", b"b"], b""),
    "overlong junk is skipped to the next delimiter": (b"1234567890123456789012345\nb\n", [b"b"], b""),
}


@pytest.mark.parametrize(("stream", "expected", "held"), CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_frames_are_the_same_however_the_stream_is_cut(stream, expected, held, step):
    framer = DelimitedFramer(b"\n", 8)
    frames = [frame for i in range(0, len(stream), step) for frame in frames_of(framer, stream[i : i + step])]
    assert frames == expected
    assert framer.held_bytes == len(held)
    accounted = sum(map(len, frames)) + framer.delimiter_bytes + framer.skipped_bytes + framer.held_bytes
    assert accounted == len(stream)


@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_a_delimiter_of_two_bytes_may_be_cut_anywhere(step):
    framer = DelimitedFramer(b"\r\n", 8)
    stream = b"ab\r\nc\rd\ne\r\n" + b"x" * 30 + b"\r\nfg\r\n"
    frames = [frame for i in range(0, len(stream), step) for frame in frames_of(framer, stream[i : i + step])]
    assert frames == [b"ab", b"c\rd\ne", b"fg"]
    assert (framer.overlong, framer.skipped_bytes) == (1, 30)


def test_endless_junk_holds_no_memory_and_counts_once():
    framer = DelimitedFramer(b"\0", 64)
    for _ in range(100):
        assert frames_of(framer, b"j" * 4096) == []
        assert framer.held_bytes <= 64
    assert frames_of(framer, b"\0good\0") == [b"good"]
    assert (framer.overlong, framer.skipped_bytes) == (1, 409_600)


@pytest.mark.parametrize("step", [1, 1000])
def test_a_stream_joined_midway_begins_behind_the_first_delimiter(step):
    framer = DelimitedFramer(b"\n", 8, joined_midway=True)
    stream = b"9.5\n109.5\n"
    assert [f for i in range(0, len(stream), step) for f in frames_of(framer, stream[i : i + step])] == [b"109.5"]
    assert (framer.overlong, framer.skipped_bytes) == (0, 3)


def test_a_message_is_a_frame_and_an_overlong_one_is_skipped():
    framer = MessageFramer(4)
    assert [frames_of(framer, data) for data in (b"abc", b"", b"abcde", b"a\0\nb")] == [[b"abc"], [], [], [b"a\0\nb"]]
    assert (framer.overlong, framer.skipped_bytes, framer.held_bytes) == (1, 5, 0)


@pytest.mark.parametrize(
    ("chunks", "completed_by"),
    [
        ([b"ab", b"\r", b"\nc\r\nd\r\n"], [2, 2, 2]),
        ([b"ab\r\n", b"", b"c", b"\r\n\r\nd\r\ne"], [0, 3, 3]),
    ],
)
def test_a_frame_is_completed_by_the_chunk_with_the_last_byte_of_its_delimiter(chunks, completed_by):
    framer = DelimitedFramer(b"\r\n", 8)
    assert framer.cut(chunks)[1].tolist() == completed_by
    framer.cut([b"held"])
    assert framer.cut([b"\r", b"\nf\r\n"])[1].tolist() == [1, 1]


def test_a_message_is_completed_by_its_own_chunk():
    assert MessageFramer(4).cut([b"a", b"", b"abcde", b"b"])[1].tolist() == [0, 3]

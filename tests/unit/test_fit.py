"""Which profile fits captured bytes: the evidence is the decoder's own, and what cannot be told apart is said to be so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.decode.encode import Encoder
from agent.decode.fit import CERTAIN, LIKELY, POSSIBLE, candidate_bauds, fit, hex_dump, printable_share, rank, rivals
from agent.decode.profile import Profile
from agent.types import NANOSECONDS, Chunk
from tests.harness.profiles import make

NODE = """
baud = 921600
framing = { kind = "cobs" }
checksum = { name = "crc16-modbus" }
sequence = { field = "n" }
time = { kind = "counter" }
binary = { fields = [{ name = "n", type = "u16" }, { name = "a", type = "i16" }, { name = "b", type = "i16" }] }
channel = [
  { name = "a", unit = "[g]", scale = 0.001, minimum = -8.0, maximum = 8.0 },
  { name = "b", unit = "[g]", scale = 0.001, minimum = -8.0, maximum = 8.0 },
]
"""
PROFILES = {
    "node": make(NODE, rate_hz=100.0),
    "other-crc": make(NODE.replace("crc16-modbus", "crc16-ibm-3740"), rate_hz=100.0),
    "swapped": make(
        NODE.replace(
            '{ name = "n", type = "u16" }, { name = "a", type = "i16" }',
            '{ name = "a", type = "i16" }, { name = "n", type = "u16" }',
        ),
        rate_hz=100.0,
    ),
    "narrow": make(NODE.replace("8.0", "0.5"), rate_hz=100.0),
    "lines": make(
        'framing = { kind = "lines" }\ncsv = { columns = ["a", "b", "c"] }\ntime = { kind = "arrival" }\n'
        'channel = [{ name = "a", unit = "1" }, { name = "b", unit = "1" }, { name = "c", unit = "1" }]'
    ),
}
BAUDS = {name: profile.baud for name, profile in PROFILES.items()}


def stream(profile: Profile, frames: int = 300) -> bytes:
    """Values of 1 g and its noise, so that they are usual for one range and not for another."""
    encoder = Encoder(profile)
    values = np.random.default_rng(3).normal(1.0, 0.1, (frames, len(profile.channel)))
    return b"".join(encoder.frame(row, number * NANOSECONDS) for number, row in enumerate(values.tolist()))


def judge(data: bytes, baud: int = 921_600):
    fits = [fit(name, profile, baud, [Chunk("port", data, 0)]) for name, profile in PROFILES.items()]
    return rank(fits, BAUDS)


def by_name(fits):
    return {each.profile: each for each in fits}


def test_the_profile_that_made_the_bytes_fits_for_certain_and_says_why() -> None:
    best, *others = judge(stream(PROFILES["node"])[5:])  # joined in the midst of a frame
    assert (best.profile, best.verdict) == ("node", "certain")
    assert best.evidence == "299 of 300 frames valid (checksum), sequence unbroken"
    assert all(each.confidence < POSSIBLE for each in others)


def test_another_checksum_fits_not_at_all() -> None:
    assert by_name(judge(stream(PROFILES["node"])))["other-crc"].confidence == 0.0


def test_a_like_record_with_its_counter_elsewhere_breaks_the_sequence() -> None:
    swapped = by_name(judge(stream(PROFILES["node"])))["swapped"]
    assert (swapped.valid, swapped.explained) == (1.0, 1.0)
    assert swapped.continuous < 0.1
    assert "sequence steps right" in swapped.evidence


def test_values_out_of_range_speak_against_a_profile() -> None:
    narrow = by_name(judge(stream(PROFILES["node"])))["narrow"]
    assert narrow.usual < 0.1
    assert "of values missing or out of range" in narrow.evidence


def test_profiles_that_explain_the_same_bytes_as_well_are_named_as_rivals() -> None:
    data = [Chunk("port", stream(PROFILES["node"]), 0)]
    fits = [fit("node", PROFILES["node"], 921_600, data), fit("twin", PROFILES["node"], 921_600, data)]
    best = rank(fits, {"node": 921_600, "twin": 115_200})[0]
    assert best.profile == "node"  # whose own baud rate it is
    assert rivals(best, fits) == ["twin"]


def test_noise_on_the_line_lowers_the_confidence_and_not_the_choice() -> None:
    data = bytearray(stream(PROFILES["node"]))
    random = np.random.default_rng(1)
    for position in random.integers(0, len(data), 40):
        data[position] ^= 1 << int(random.integers(8))
    best = judge(bytes(data))[0]
    assert best.profile == "node"
    assert LIKELY <= best.confidence < CERTAIN
    assert best.frames - best.good > 20


def test_text_without_a_checksum_needs_some_lines_before_it_is_believed() -> None:
    lines = b"3.5,2,1\n" * 50
    few, many = judge(b"3.5,2,1\n" * 3)[0], judge(lines)[0]
    assert (few.profile, many.profile) == ("lines", "lines")
    assert few.confidence < many.confidence
    assert "few frames" in few.evidence
    assert many.evidence == "49 of 49 frames valid (form only)"  # the first may be the end of one, and is left out
    assert many.verdict == "certain"


def test_text_of_another_form_fits_nothing() -> None:
    assert judge(b"temperature: 21.5 C\r\n" * 50)[0].verdict == "no"


@given(st.binary(max_size=2_000))
@settings(max_examples=60)
def test_random_bytes_never_fit(data: bytes) -> None:
    assert judge(data)[0].confidence < POSSIBLE


def test_silence_fits_nothing() -> None:
    for each in judge(b""):
        assert (each.confidence, each.evidence) == (0.0, "no frame")


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_the_judgement_is_the_same_however_the_bytes_came(piece: int) -> None:
    data = stream(PROFILES["node"])
    chunks = [Chunk("port", data[start : start + piece], start) for start in range(0, len(data), piece)]
    assert fit("node", PROFILES["node"], 921_600, chunks) == by_name(judge(data))["node"]


def test_the_profiles_own_baud_rates_are_tried_first_and_each_once() -> None:
    bauds = candidate_bauds(list(PROFILES.values()))
    assert bauds[0] == 921_600
    assert {9_600, 115_200} < set(bauds)
    assert len(bauds) == len(set(bauds))


def test_a_hex_dump_shows_offset_bytes_and_text() -> None:
    dump = hex_dump(b"Hello, world 21.5\r\n", rows=2)
    assert dump[0] == "000000  48 65 6c 6c 6f 2c 20 77 6f 72 6c 64 20 32 31 2e  Hello, world 21."
    assert dump[1].endswith("5..")
    assert len(hex_dump(bytes(1_000))) == 8
    assert (printable_share(b"ab\r\n"), printable_share(b"a\x00"), printable_share(b"")) == (1.0, 0.5, 0.0)

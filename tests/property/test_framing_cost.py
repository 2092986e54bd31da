"""Noise costs a bounded number of checks a byte, whatever it looks like: counted, not timed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.decode.framing import HeaderFramer, framer
from tests.harness.profiles import make

LONGEST = 4_096
VARIABLE = """
framing = {{ {framing}, max_frame_bytes = 4096, length = {{ width = 2, counts = "frame" }} }}
checksum = {{ name = "crc16-modbus" }}
time = {{ kind = "arrival" }}
channel = [{{ name = "x", unit = "1" }}]
csv = {{ columns = ["x"] }}
"""
FRAMINGS = {"length": 'kind = "length"', "sync": 'kind = "sync", sync = "aa"'}


@dataclass
class Counting:
    """Opens as the opener behind it does, and counts."""

    inner: object
    checks: int = 0

    def open(self, frame):
        self.checks += 1
        return self.inner.open(frame)

    def open_all(self, frames):
        self.checks += len(frames)
        return self.inner.open_all(frames)


def checks(framing: str, parts: list[bytes]) -> int:
    """How many frames were checked while these parts were cut."""
    cutter = framer(make(VARIABLE.format(framing=FRAMINGS[framing])))
    assert isinstance(cutter, HeaderFramer)
    cutter._opener = counting = Counting(cutter._opener)
    for part in parts:
        cutter.cut([part])
        assert cutter.held_bytes <= LONGEST
    return counting.checks


def parted(stream: bytes, step: int) -> list[bytes]:
    return [stream[at : at + step] for at in range(0, len(stream), step)]


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("step", [1, 97, 5_000])
@pytest.mark.parametrize("claim", [8, 0x0101, 0x0F0F])
def test_a_stream_that_claims_a_frame_at_every_place_is_checked_at_most_once_a_byte(
    framing: str, step: int, claim: int
) -> None:
    repeated = claim.to_bytes(2, "little") if framing == "length" else b"\xaa" + claim.to_bytes(2, "little")
    stream = repeated * (12_000 // len(repeated))
    assert 0 < checks(framing, parted(stream, step)) <= len(stream)


@pytest.mark.parametrize("framing", FRAMINGS)
@settings(max_examples=60)
@given(
    pieces=st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"\xaa" * 30, b"\x0f" * 50, b"\xaa\x08\x00" * 20]))),
    step=st.integers(1, 300),
)  # fmt: skip
def test_no_bytes_are_checked_more_than_once_a_byte(framing: str, pieces: list[bytes], step: int) -> None:
    stream = b"".join(pieces)
    assert checks(framing, parted(stream, step)) <= len(stream)

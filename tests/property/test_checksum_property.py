"""The sums over bytes of any length, held against the simplest loop."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from agent.decode.checksum import CATALOGUE


@given(st.binary(max_size=300))
@example(b"")
@example(bytes(range(79)))
@example(bytes(range(80)))
def test_xor8_is_the_exclusive_or_of_all_bytes(data: bytes) -> None:
    expected = 0
    for byte in data:
        expected ^= byte
    algorithm, width = CATALOGUE["xor8"]
    assert (algorithm(data), width) == (expected, 1)
    assert type(algorithm(data)) is int

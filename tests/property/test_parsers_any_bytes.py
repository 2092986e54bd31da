"""Every parser of outside bytes, fed with its own kind of bytes cut, joined, flipped and nested: it answers or refuses."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.parsers import PARSERS

NASTY = st.sampled_from(
    [
        b"[" * 5_000,
        b'{"a":' * 3_000,
        b"\xff",
        b"\0",
        b"9" * 400,
        b"-" * 480,
        b'"\xff\xfe"',
        b"\x91" * 3_000,
        b"1e999",
        b"(",
    ]
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    broken = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(broken)))
        match draw(st.integers(0, 4)):
            case 0 if at < len(broken):
                broken[at] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del broken[at : at + draw(st.integers(1, 40))]
            case 2:
                broken[at:at] = draw(st.binary(max_size=8))
            case 3:
                broken[at:at] = draw(NASTY)
            case _:
                broken[at:at] = draw(st.sampled_from(seeds))[draw(st.integers(0, 200)) :]
    return bytes(broken)


@pytest.mark.parametrize("name", sorted(PARSERS))
@given(data=st.data())
@settings(deadline=None, max_examples=150, derandomize=True)
def test_whatever_comes_is_parsed_or_refused(name: str, data: st.DataObject) -> None:
    parser = PARSERS[name]
    parser.parse(data.draw(mutated(list(parser.seeds)) | st.binary(max_size=300) | NASTY))


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_nests_without_end_and_text_that_is_none_are_refused(name: str) -> None:
    parser = PARSERS[name]
    for seed in parser.seeds:
        for junk in (b"[" * 20_000, b'{"a":' * 10_000, b"\xff" * 10, b"\x91" * 20_000):
            parser.parse(junk)
            parser.parse(seed[: len(seed) // 2] + junk)
            parser.parse(seed[:1] + junk)
            for at in range(0, len(seed), max(1, len(seed) // 20)):
                parser.parse(seed[:at] + b"\xff" + seed[at:])


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_the_seeds_themselves_are_parsed(name: str) -> None:
    for seed in PARSERS[name].seeds:
        PARSERS[name].parse(seed)

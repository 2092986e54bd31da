"""Whatever a bundle suffers on its way, it opens as what was signed or not at all."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import BundleError
from agent.infer.bundle import open_bundle
from tests.harness.bundles import PUBLIC, energy_model, manifest, tiny_bundle

DATA = tiny_bundle()


def opens_as_signed_or_not_at_all(data: bytes) -> None:
    with contextlib.suppress(BundleError):
        opened = open_bundle(data, [PUBLIC])
        assert (opened.manifest, opened.model) == (manifest(), energy_model())


@settings(max_examples=400, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(1, 255)), min_size=1, max_size=3))
def test_flipped_bits(flips: list[tuple[int, int]]) -> None:
    data = bytearray(DATA)
    for position, mask in flips:
        data[position] ^= mask
    opens_as_signed_or_not_at_all(bytes(data))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.integers(0, 500), st.integers(1, 255))
def test_flipped_bits_of_the_zip_directory(from_end: int, mask: int) -> None:
    data = bytearray(DATA)
    data[-1 - from_end] ^= mask
    opens_as_signed_or_not_at_all(bytes(data))


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes(data: bytes) -> None:
    opens_as_signed_or_not_at_all(data)

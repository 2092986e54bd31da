"""parity.json as the box reads it: any bytes give a certificate that holds together, or a BundleError."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import BundleError
from agent.infer.certificate import Parity, read, write
from tests.harness.parity import certificate, comparison

counts = st.integers(0, 1000)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def places(value: object, at: tuple = ()) -> list[tuple]:
    """Every place in a document, as keys and indices from its root."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, each in inner for place in places(each, (*at, key)))]


DOCUMENT = msgspec.to_builtins(certificate(comparison(), comparison("int8", (1, 2))))
PLACES = [place for place in places(DOCUMENT) if place]


def replaced(value: object, place: tuple, by: object) -> object:
    if not place:
        return by
    key, *rest = place
    if isinstance(value, dict):
        return value | {key: replaced(value[key], tuple(rest), by)}
    return [replaced(each, tuple(rest), by) if index == key else each for index, each in enumerate(value)]


@given(counts, counts)
def test_what_is_written_is_read_back(first: int, second: int) -> None:
    parity = certificate(comparison(), comparison("fp16", (first, second)))
    assert read(write(parity)) == parity
    assert parity.agreement(parity.comparisons[1]) == 1 - max(first, second) / 1000
    assert parity.agreement(parity.comparisons[0]) == 1


@given(st.binary(max_size=200))
def test_any_bytes_are_a_certificate_or_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"parity\.json"):
        read(data)


@given(st.sampled_from(PLACES), json_values)
def test_a_document_that_was_altered_anywhere_holds_together_or_is_refused(place: tuple, value: object) -> None:
    try:
        parity = read(msgspec.json.encode(replaced(DOCUMENT, place, value)))
    except BundleError:
        return
    assert isinstance(parity, Parity)
    for each in parity.comparisons:
        assert 0 <= parity.agreement(each) <= 1
    assert read(write(parity)) == parity

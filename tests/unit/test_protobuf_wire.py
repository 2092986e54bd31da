"""The protobuf wire format: whole numbers, nested bytes, and every way in which a message can be broken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decode.protobuf_wire import BYTES, FIXED32, FIXED64, VARINT, read, tag, write
from agent.errors import DecodeError

varints = st.tuples(st.integers(1, 2**29 - 1).map(lambda n: tag(n, VARINT)), st.integers(0, 2**64 - 1))
texts = st.tuples(st.integers(1, 2**29 - 1).map(lambda n: tag(n, BYTES)), st.binary(max_size=300))
fixed = st.tuples(st.just(tag(12, FIXED32)), st.binary(min_size=4, max_size=4)) | st.tuples(
    st.just(tag(13, FIXED64)), st.binary(min_size=8, max_size=8)
)


@given(st.lists(varints | texts | fixed, max_size=20))
def test_what_is_written_is_read(fields):
    assert read(b"".join(write(key, value) for key, value in fields)) == fields


def test_the_example_of_the_documentation():
    assert read(bytes.fromhex("089601")) == [(tag(1, VARINT), 150)]
    assert read(bytes.fromhex("120774657374696e67")) == [(tag(2, BYTES), b"testing")]


def test_negative_numbers_are_written_as_64_bits():
    assert read(write(tag(1, VARINT), -1)) == [(tag(1, VARINT), 2**64 - 1)]


@pytest.mark.parametrize(
    "data",
    [
        "08",
        "0880",
        "08" + "80" * 10 + "01",
        "1205ff",
        "0b",
        "0c",
        "0e",
        "0f",
        "00",
        "0001",
        "65ffffff",
        "12ffffffffffffffff7f",
    ],
)
def test_broken_messages_are_refused(data):
    with pytest.raises(DecodeError):
        read(bytes.fromhex(data))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    try:
        fields = read(data)
    except DecodeError:
        return
    assert sum(len(value) for _, value in fields if isinstance(value, bytes)) <= len(data)

"""Message formats under mutated golden messages: nothing raises, everything is counted, and what one message says stays in its bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.decode.decoder import Decoder
from agent.types import Chunk
from tests.harness.decoding import check_decoded_or_counted
from tests.harness.profiles import golden, shipped, shipped_names

T0 = 1_700_000_000_000_000_000
PROFILES = {name: shipped(name) for name in shipped_names() if shipped(name).transport == "mqtt"}
GOLDEN = {name: golden(name).pieces() for name in PROFILES}


@st.composite
def mutated(draw, pieces):
    """Golden messages cut, joined, flipped, repeated and put in another order."""
    data, topic = draw(st.sampled_from(pieces))
    other, _ = draw(st.sampled_from(pieces))
    _, elsewhere = draw(st.sampled_from(pieces))
    broken = bytearray(data)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(broken)))
        kind = draw(st.integers(0, 3))
        if kind == 0 and at < len(broken):
            broken[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == 1:
            del broken[at : at + draw(st.integers(1, 20))]
        elif kind == 2:
            broken[at:at] = draw(st.binary(max_size=8))
        else:
            broken[at:at] = other[draw(st.integers(0, len(other))) :]
    return bytes(broken), draw(st.sampled_from([topic, elsewhere]))


@pytest.mark.parametrize("name", sorted(PROFILES))
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_mutated_messages_are_decoded_or_counted(name, data):
    sent = data.draw(st.lists(mutated(GOLDEN[name]), min_size=1, max_size=8))
    chunks = [Chunk("d", payload, T0 + i * 10**9, topic) for i, (payload, topic) in enumerate(sent)]
    check_decoded_or_counted(PROFILES[name], chunks)


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_good_messages_after_broken_ones_are_read(name):
    profile = PROFILES[name]
    junk = [(bytes([byte]) * 50, topic) for byte in (0, 0x5B, 0x7B, 0x81, 0xFF) for _, topic in GOLDEN[name][:1]]
    clean, dirty = Decoder(profile, "d"), Decoder(profile, "d")
    wanted = clean.feed([Chunk("d", payload, T0, topic) for payload, topic in GOLDEN[name]])
    found = dirty.feed([Chunk("d", payload, T0, topic) for payload, topic in [*junk, *GOLDEN[name]]])
    np.testing.assert_array_equal(found.values, wanted.values)

"""Offsets from what is read on site to what the model knows, and the file that keeps them."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decide.baseline import Baseline, ChannelBaseline
from agent.decide.commissioning import Correction, affine, corrections, decode, digest_of, encode, misfit
from tests.harness.commissioned import commissioning

KNOWN = ChannelBaseline(low=9.0, middle=10.0, high=11.0, spread=2.0, bands=[])


def correction(**site: float) -> Correction:
    here = msgspec.structs.replace(KNOWN, **site)
    (found,) = corrections(
        Baseline(band_edges_hz=[], channels=[here]), Baseline(band_edges_hz=[], channels=[KNOWN]), ["p.x"]
    )
    return found


def test_what_the_model_calls_usual_is_left_as_it_is() -> None:
    assert correction() == correction(middle=9.1, spread=1.5) == Correction()
    assert affine([Correction()]) is None


@given(level=st.floats(-20, 40), times=st.floats(0.26, 3.9))
def test_a_level_and_a_spread_that_are_not_usual_become_so(level: float, times: float) -> None:
    found = correction(middle=level, spread=2.0 * times)
    shown = found.scale * level + found.offset
    assert KNOWN.low - 1e-9 <= shown <= KNOWN.high + 1e-9
    assert 1 / 1.5 - 1e-9 <= found.scale * times <= 1.5 + 1e-9


@pytest.mark.parametrize(
    ("site", "complaint"),
    [
        ({"middle": 51.0}, "p.x reads 51, far from the 9 to 11 that the model knows"),
        ({"spread": 8.1}, "p.x varies 4.05 times as much as the model knows it"),
        ({"spread": 0.0}, "p.x varies 0 times as much"),
    ],
)
def test_another_machine_or_a_broken_sensor_is_no_matter_of_offsets(site: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        correction(**site)


def test_a_channel_that_stands_still_in_both_is_left_as_it_is() -> None:
    still = msgspec.structs.replace(KNOWN, spread=0.0)
    both = Baseline(band_edges_hz=[], channels=[still])
    assert corrections(both, both, ["p.x"]) == [Correction()]


LEARNT = commissioning(
    corrections=[Correction(scale=0.1, offset=-3.0)], baseline=Baseline(band_edges_hz=[], channels=[KNOWN])
)


def test_a_file_is_read_as_it_was_written_and_any_flipped_bit_is_seen() -> None:
    data = encode(LEARNT)
    assert decode(data) == LEARNT
    assert len(digest_of(data)) == 64
    rng = np.random.default_rng(0)
    for place in rng.choice(len(data), 200, replace=False):
        spoilt = bytearray(data)
        spoilt[place] ^= 1 << int(rng.integers(8))
        with pytest.raises(ValueError, match=r"cannot be read|altered or damaged"):
            decode(bytes(spoilt))


def test_it_is_for_one_machine_with_one_bundle_and_its_channels() -> None:
    assert misfit(LEARNT, "pump", "ab" * 32, ["p.x"]) is None
    assert misfit(LEARNT, "pump", "cd" * 32, ["p.x"]) == "it was made with another bundle, tiny 1.0.0"
    assert misfit(LEARNT, "fan", "ab" * 32, ["p.x"]) == "it is of the machine 'pump'"
    assert misfit(LEARNT, "pump", "ab" * 32, ["p.y"]) == "it is of other channels: p.x"

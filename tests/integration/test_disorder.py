"""Frames that overtake each other within the profile's bound end up in their own cells; later ones are counted."""

import numpy as np
import pytest

from agent.decode.decoder import Decoder
from agent.decode.encode import Encoder
from agent.types import Chunk
from agent.window.aligner import Aligner
from tests.harness.profiles import COUNTED, make
from tests.harness.streams import contract

T0 = 1_700_000_000_000_000_000
PERIOD_NS = 10_000_000
DISORDER_S = 0.05
PROFILE = make(
    COUNTED.replace('kind = "counter"', f'kind = "counter", max_disorder_s = {DISORDER_S}'),
    transport="serial",
    rate_hz=100.0,
)


def shuffled(count: int, seed: int) -> list[Chunk]:
    """Frames that arrive up to five periods after frames that were sent later."""
    encoder, rng = Encoder(PROFILE), np.random.default_rng(seed)
    frames = [encoder.frame([1.0, float(index)], 0) for index in range(count)]
    order = np.argsort(np.arange(count) + rng.uniform(0, 5, count), kind="stable")
    return [Chunk("d", frames[index], T0 + place * PERIOD_NS) for place, index in enumerate(order.tolist())]


@pytest.mark.parametrize("calls", [1, 40, 400])
def test_what_is_late_within_the_bound_is_put_in_place(calls):
    decoder = Decoder(PROFILE, "d")
    terms = contract(channels=2, rate_hz=100.0, window=10, hop=10)
    aligner = Aligner("m", terms, {"d": [(0, 0), (1, 1)]}, 2_000_000_000, {"d": round(DISORDER_S * 1e9)})
    chunks, windows = shuffled(400, seed=1), []
    for start in range(0, 400, 400 // calls):
        batch = decoder.feed(chunks[start : start + 400 // calls])
        if batch is not None:
            assert (np.diff(batch.t_ns) > 0).all()
            windows += aligner.add(batch)
    assert [window.unknown for window in windows] == [None] * len(windows)
    assert len(windows) >= 37
    values = np.concatenate([window.values[1] for window in windows])
    # At first event time still moves down to the floor of the delays, and a cell may hold the mean of two samples.
    assert np.diff(values[-100:]).tolist() == [1.0] * 99
    assert decoder.counters["late"] > 50
    assert decoder.counters["lost"] == decoder.counters["repeated"] == aligner.counters["samples_late"] == 0
    assert decoder.frame_balance().missing == aligner.balance().missing == 0


def test_without_a_bound_they_are_repeats_and_losses():
    decoder = Decoder(make(COUNTED, rate_hz=100.0), "d")
    decoder.feed(shuffled(400, seed=1))
    assert decoder.counters["late"] == 0
    assert decoder.counters["lost"] == decoder.counters["repeated"] > 50

"""What must hold of a decoder whatever it is fed: each batch is whole and in order, and every byte and sample is in the books."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from agent.decode.decoder import Decoder
from agent.decode.schema import Profile
from agent.types import Chunk


def check_decoded_or_counted(profile: Profile, chunks: Iterable[Chunk]) -> None:
    """Feed a new decoder one chunk after another."""
    decoder = Decoder(profile, "d")
    entered = samples = 0
    for chunk in chunks:
        entered += len(chunk.data)
        batch = decoder.feed([chunk])
        if batch is not None:
            samples += len(batch)
            assert batch.values.shape == batch.quality.shape == (len(batch), len(profile.channel))
            assert (np.isnan(batch.values) == (batch.quality & 1).astype(bool)).all()
            assert (np.diff(batch.t_ns) >= 0).all()
    assert decoder.counters["samples"] == samples
    balance = decoder.balance()
    assert (balance.entered, balance.missing) == (entered, 0)
    assert decoder.frame_balance().missing == 0

"""A recording's samples of one device, decoded: what a model is trained on is what the daemon will see."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from agent.decode.decoder import Decoder
from agent.decode.profile import Profile
from agent.record.reading import Step
from agent.types import Batch


def batches(steps: Iterable[Step], profile: Profile, device: str) -> Iterator[Batch]:
    """The batches that the daemon decoded; each session begins with a fresh decoder, as each run of the daemon does."""
    for _, session in itertools.groupby(steps, key=lambda step: step.session):
        decoder = Decoder(profile, device)
        for step in session:
            batch = decoder.feed([chunk for chunk in step.chunks if chunk.device == device])
            if batch is not None:
                yield batch


def csv_rows(batch: Batch) -> Iterator[list[str]]:
    """Time in nanoseconds and one cell a channel, empty where the value is flagged, for no window would take it."""
    good = (batch.quality == 0) & np.isfinite(batch.values)
    for t_ns, values, usable in zip(batch.t_ns.tolist(), batch.values, good.tolist(), strict=True):
        yield [str(t_ns), *(str(value) if ok else "" for value, ok in zip(values, usable, strict=True))]

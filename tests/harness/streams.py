"""Batches, contracts and verdicts made by hand for tests of the pure parts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from hypothesis import strategies as st

from agent.types import Batch, TimeQuality, Verdict, Window
from agent.window.contract import Contract, ContractChannel

PERIOD_NS = 1_000_000
RATE_HZ = 1_000.0


def contract(channels: int = 1, **changes: object) -> Contract:
    """A contract on a grid of one millisecond: 4 cells a window, one every 2."""
    settings = {"rate_hz": RATE_HZ, "window": 4, "hop": 2, **changes}
    named = [ContractChannel(name=f"c{index}", unit="1") for index in range(channels)]
    return Contract(channels=named, **settings)  # type: ignore[arg-type]


CONTRACTS_OF_THREE = st.builds(
    contract,
    channels=st.just(3),
    window=st.integers(1, 9),
    hop=st.integers(1, 12),
    hold_cells=st.sampled_from([0, 0, 1, 3]),
    aggregate=st.sampled_from(["mean", "last"]),
)


def batch(
    t_ns: Sequence[int],
    values: Sequence[Sequence[float]],
    quality: Sequence[Sequence[int]] | None = None,
    device: str = "a",
    **changes: object,
) -> Batch:
    """A batch of plain lists; good throughout unless `quality` says otherwise."""
    array = np.array(values, np.float32).reshape(len(t_ns), -1)
    flags = np.zeros(array.shape, np.uint8) if quality is None else np.array(quality, np.uint8).reshape(array.shape)
    settings = {"time_quality": TimeQuality.DEVICE, **changes}
    return Batch(device, np.array(t_ns, np.int64), array, flags, **settings)  # type: ignore[arg-type]


def pieces(whole: Batch, cuts: Sequence[int]) -> Iterator[Batch]:
    """`whole` cut before each of `cuts`; the pieces share its memory. The losses go with the first."""
    edges = [0, *sorted(cuts), len(whole)]
    for index, (start, end) in enumerate(itertools.pairwise(edges)):
        part = slice(start, end)
        lost = whole.lost if index == 0 else 0
        yield Batch(whole.device, whole.t_ns[part], whole.values[part], whole.quality[part], whole.time_quality, lost)


def verdict(
    end_ns: int,
    score: float = 1.0,
    channel_score: Sequence[float] = (1.0,),
    unknown: str | None = None,
    values: Sequence[Sequence[float]] = ((0.0, 1.0),),
    length_ns: int = 1_000_000_000,
) -> Verdict:
    """A verdict on a window that ends at `end_ns`."""
    window = Window("m", end_ns - length_ns, end_ns, np.array(values, np.float32), unknown, TimeQuality.DEVICE)
    return Verdict(window, score, np.array(channel_score, np.float32), unknown)

"""Seconds to train the default family for one machine: 5,000 windows of 8 channels and 64 cells, to its early end."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch

from agent.window.contract import Contract, ContractChannel
from export import train
from export.windows import Windows
from tests.bench.figures import Figure, significant

_CHANNELS, _CELLS, _HOP, _WINDOWS, _EPOCHS = 8, 64, 16, 5_000, 200
_FAMILY = "conv-autoencoder"


def measure() -> Iterator[Figure]:
    run = _machine()
    names = [ContractChannel(name=f"c{index}", unit="1") for index in range(_CHANNELS)]
    contract = Contract(channels=names, rate_hz=10.0, window=_CELLS, hop=_HOP)
    started = time.perf_counter()
    fitted = train.fit([run], contract, train.Plan(_FAMILY, 0, _EPOCHS), lambda *_: None)
    seconds = time.perf_counter() - started
    against = (
        f"{_FAMILY}, {_WINDOWS} windows of {_CHANNELS} x {_CELLS}, ended early after {len(fitted.losses)} epochs, "
        f"{torch.get_num_threads()} threads"
    )
    yield Figure("training.small_machine", significant(seconds, 2), "s", against, "< 120")


def _machine() -> Windows:
    """Slow cycles that the channels share in other mixtures, and noise of each channel's own."""
    rng = np.random.default_rng(0)
    rows = np.arange(_WINDOWS * _HOP + _CELLS)
    cycles = np.sin(
        rows[:, None] / np.array([7.0, 23.0, 61.0]) + 0.3 * np.cumsum(rng.normal(0, 0.05, (len(rows), 3)), 0)
    )
    values = (cycles @ rng.normal(size=(3, _CHANNELS)) + 0.1 * rng.normal(size=(len(rows), _CHANNELS))).astype(
        np.float32
    )
    view = np.lib.stride_tricks.sliding_window_view(values, _CELLS, axis=0)[::_HOP][:_WINDOWS]
    end_ns = (np.arange(_WINDOWS, dtype=np.int64) * _HOP + _CELLS) * 100_000_000
    return Windows("machine", np.ascontiguousarray(view), end_ns, None, 0)


if __name__ == "__main__":
    for figure in measure():
        print(f"{figure.name} = {figure.value:g} {figure.unit} ({figure.against})")

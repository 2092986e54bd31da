"""Windows to train every family on, small enough for a test, and models fitted once for all tests that only look at them."""

from __future__ import annotations

import functools

import numpy as np

from agent.types import Float32Array
from agent.window.contract import Contract, ContractChannel
from export import train
from export.models import registered
from export.models.detector import Detector
from export.windows import Windows

EPOCHS = 2


def silently(*_: float) -> None:
    """Nobody watches."""


def contract(channels: int, time: int) -> Contract:
    names = [ContractChannel(name=f"c{index}", unit="1") for index in range(channels)]
    return Contract(channels=names, rate_hz=1.0, window=time, hop=time)


def normal(channels: int, time: int, n: int = 60, seed: int = 0) -> Windows:
    """Correlated noise around levels and scales that differ by channel, windows back to back."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 1, time))
    levels, scales = np.linspace(-100, 50, channels), np.geomspace(0.01, 10, channels)
    values = (levels[:, None] + scales[:, None] * (common + 0.3 * rng.normal(size=(n, channels, time)))).astype(
        np.float32
    )
    return _back_to_back("normal", values)


def stepped(windows: Float32Array, index: int, channel: int) -> Float32Array:
    """One of `windows` with `channel` ten standard deviations higher, or ten units where it never moves; [1, channels, time]."""
    strange = windows[index : index + 1].copy()
    strange[0, channel] += 10 * (windows[:, channel].std() or 1)
    return strange


def with_faults(windows: Windows) -> Windows:
    """Every other window followed by one with a step, in each channel in turn: what a supervised family learns from."""
    values, labels = [], []
    for index in range(len(windows)):
        values.append(windows.values[index : index + 1])
        labels.append(0)
        if index % 2:
            values.append(stepped(windows.values, index, index // 2 % windows.values.shape[1]))
            labels.append(1)
    return _back_to_back("labelled", np.concatenate(values), np.array(labels, np.int64))


def fit(family: str, windows: Windows, seed: int = 0) -> Detector:
    """A model of `family` fitted on `windows` in two epochs, with faults among them where it learns from labels."""
    run = with_faults(windows) if registered(family).supervised else windows
    plan = train.Plan(family, seed, EPOCHS)
    return train.fit([run], contract(*run.values.shape[1:]), plan, silently).model


@functools.cache
def fitted(family: str, channels: int, time: int) -> Detector:
    """The model of all tests that do not alter it."""
    return fit(family, normal(channels, time))


def _back_to_back(run: str, values: Float32Array, labels: np.ndarray | None = None) -> Windows:
    time = values.shape[2]
    return Windows(run, values, (np.arange(len(values)) + 1) * time * 1_000_000_000, labels, 0)

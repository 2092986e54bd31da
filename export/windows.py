"""Recordings cut into windows by the daemon's own aligner, so that training sees what the box will see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.errors import ConfigError, Problem
from agent.types import Batch, Float32Array, Int64Array, Quality, QualityArray, TimeQuality
from agent.window.aligner import Aligner
from agent.window.contract import Contract
from export.data import BoolArray, Run

_DEVICE = "recording"
_BATCH = 1024
_MAX_BYTES = 8 * 1024**3


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Known windows of one run, oldest first: values float32 [n, channels, time], end_ns int64 [n] (exclusive).

    `anomalous` bool [n] is the label of the last row inside each window, or None; `unknown` counts the windows left out.
    """

    run: str
    values: Float32Array
    end_ns: Int64Array
    anomalous: BoolArray | None
    unknown: int

    def __len__(self) -> int:
        """How many windows are known."""
        return len(self.values)

    def part(self, chosen: slice) -> Windows:
        """Some of the windows, in order."""
        labels = None if self.anomalous is None else self.anomalous[chosen]
        return Windows(self.run, self.values[chosen], self.end_ns[chosen], labels, self.unknown)


def cut(run: Run, contract: Contract) -> Windows:
    """Every window of `run` on the contract's grid, unknown ones counted and left out.

    Raises ConfigError where overlap would blow the recording up beyond 8 GiB.
    """
    _check_size(run, contract)
    feeds = {_DEVICE: [(index, index) for index in range(len(contract.channels))]}
    aligner = Aligner(run.name, contract, feeds, lateness_ns=0)
    windows = [window for batch in _batches(run) for window in aligner.add(batch)]
    known = [window for window in windows if window.unknown is None]
    shape = (len(known), len(contract.channels), contract.window)
    values = np.array([window.values for window in known], np.float32).reshape(shape)
    end_ns = np.array([window.end_ns for window in known], np.int64)
    labels = None
    if run.anomalous is not None:
        labels = run.anomalous[np.searchsorted(run.t_ns, end_ns, side="left") - 1]
    return Windows(run.name, values, end_ns, labels, len(windows) - len(known))


def split_tail(windows: Windows, share: float, contract: Contract) -> tuple[Windows, Windows]:
    """The earlier windows and the last `share` of them, with the ones between that reach into both left out."""
    border = round(len(windows) * (1 - share))
    tail = windows.part(slice(border, None))
    if len(tail) == 0:
        return windows, tail
    starts_ns = tail.end_ns[0] - contract.window * contract.period_ns
    return windows.part(slice(0, int(np.searchsorted(windows.end_ns, starts_ns, side="right")))), tail


def stack(parts: Sequence[Windows]) -> Float32Array:
    """The values of several runs in one array [n, channels, time]."""
    return np.concatenate([part.values for part in parts])


def _check_size(run: Run, contract: Contract) -> None:
    size_bytes = run.values.nbytes * contract.window // contract.hop
    if size_bytes > _MAX_BYTES:
        what = f"windows of {contract.window} cells, one every {contract.hop}, would take {size_bytes / 1e9:.0f} GB"
        raise ConfigError([Problem(run.name, what, "take a larger --hop, or split the run")])


def _batches(run: Run) -> list[Batch]:
    missing = np.isnan(run.values)
    quality: QualityArray = np.where(missing, Quality.MISSING, Quality.GOOD).astype(np.uint8)
    return [
        Batch(
            device=_DEVICE,
            t_ns=run.t_ns[start : start + _BATCH],
            values=run.values[start : start + _BATCH],
            quality=quality[start : start + _BATCH],
            time_quality=TimeQuality.DEVICE,
        )
        for start in range(0, len(run.t_ns), _BATCH)
    ]

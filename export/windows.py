"""Recordings cut into windows by the daemon's own window stage, so that training sees what the box will see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.errors import ConfigError, Problem
from agent.types import Float32Array, Int64Array
from agent.window.contract import Contract
from export import cut_at_once, cut_streamed
from export.data import Run
from export.rows import BoolArray

_MAX_BYTES = 8 * 1024**3


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Known windows of one run, oldest first: values float32 [n, channels, time], end_ns int64 [n] (exclusive).

    `labels` int64 [n] is the label of the last row inside each window (0 normal, k the k-th kind of fault), or None; `unknown` counts the
    windows left out, `dropped` the rows that came too late or from too far ahead, `restarts` how often the grid began anew.
    """

    run: str
    values: Float32Array
    end_ns: Int64Array
    labels: Int64Array | None
    unknown: int
    dropped: int = 0
    restarts: int = 0

    @property
    def anomalous(self) -> BoolArray | None:
        """Whether each window is at fault, bool [n], or None."""
        return None if self.labels is None else self.labels != 0

    def __len__(self) -> int:
        """How many windows are known."""
        return len(self.values)

    def part(self, chosen: slice) -> Windows:
        """Some of the windows, in order."""
        labels = None if self.labels is None else self.labels[chosen]
        return Windows(
            self.run, self.values[chosen], self.end_ns[chosen], labels, self.unknown, self.dropped, self.restarts
        )


def cut(run: Run, contract: Contract) -> Windows:
    """Every window of `run` on the contract's grid, unknown ones counted and left out.

    Runs whose times only go on are cut at once, others go through the daemon's aligner; the windows are the same bit for bit. Raises
    ConfigError where overlap would blow the recording up beyond 8 GiB.
    """
    _check_size(run, contract)
    found = cut_at_once.cut(run, contract) or cut_streamed.cut(run, contract)
    labels = None if run.labels is None else run.labels[found.last_row]
    return Windows(run.name, found.values, found.end_ns, labels, found.unknown, found.dropped, found.restarts)


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


def stack_labels(parts: Sequence[Windows]) -> Int64Array:
    """Their labels int64 [n]; windows without any are normal."""
    return np.concatenate([np.zeros(len(part), np.int64) if part.labels is None else part.labels for part in parts])


def _check_size(run: Run, contract: Contract) -> None:
    size_bytes = run.values.nbytes * contract.window // contract.hop
    if size_bytes > _MAX_BYTES:
        what = f"windows of {contract.window} cells, one every {contract.hop}, would take {size_bytes / 1e9:.0f} GB"
        raise ConfigError([Problem(run.name, what, "take a larger --hop, or split the run")])

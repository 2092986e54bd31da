"""Any run through the daemon's aligner, batch by batch, as its rows came."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np

from agent.types import Batch, Float32Array, Int64Array, QualityArray, TimeQuality, Window
from agent.window.aligner import Aligner
from agent.window.contract import Contract, ContractChannel
from export.cutting import Cut, lateness_ns
from export.data import Run

_BATCH = 1_024
_HALF = 1 << 16


def cut(run: Run, contract: Contract) -> Cut:
    """Every known window, oldest first."""
    feeds = {str(index): [(row, row) for row in rows] for index, rows in enumerate(run.feeds)}
    disorder_ns = {str(index): each for index, each in enumerate(run.disorder_ns)}
    aligner = Aligner(run.name, contract, feeds, lateness_ns(contract), disorder_ns)
    windows = [window for batch in _batches(run, run.values, run.flags) for window in aligner.add(batch)]
    known = np.array([window.unknown is None for window in windows], np.bool_)
    kept = [window for window in windows if window.unknown is None]
    shape = (len(kept), len(contract.channels), contract.window)
    return Cut(
        values=np.array([window.values for window in kept], np.float32).reshape(shape),
        end_ns=np.array([window.end_ns for window in kept], np.int64),
        last_row=_last_rows(run, contract, disorder_ns)[known],
        unknown=len(windows) - len(kept),
        dropped=aligner.counters["samples_late"] + aligner.counters["samples_disbelieved"],
        restarts=aligner.counters["restarts"],
    )


def _last_rows(run: Run, contract: Contract, disorder_ns: dict[str, int]) -> Int64Array:
    """The last row inside each window, unknown ones too, int64 [windows]: numbers of rows go where the rows went.

    The same times close the same windows. As float32 is exact up to 2^24 only, a number goes as two.
    """
    count = len(run.feeds)
    names = [ContractChannel(name=str(index), unit="1") for index in range(2 * count)]
    terms = msgspec.structs.replace(contract, channels=names, aggregate="last")
    feeds = {str(index): [(2 * index, 2 * index), (2 * index + 1, 2 * index + 1)] for index in range(count)}
    aligner = Aligner(run.name, terms, feeds, lateness_ns(contract), disorder_ns)
    numbers = np.tile(np.column_stack(np.divmod(np.arange(len(run.t_ns)), _HALF)).astype(np.float32), count)
    batches = _batches(run, numbers, np.zeros(numbers.shape, np.uint8))
    return np.array([_last_row(window) for batch in batches for window in aligner.add(batch)], np.int64)


def _last_row(window: Window) -> int:
    """Of the latest cell that has one; 0 in a window without, which is unknown."""
    rows = window.values[0::2].astype(np.float64) * _HALF + window.values[1::2]
    cells = np.flatnonzero(~np.isnan(rows).all(axis=0))
    return int(np.nanmax(rows[:, cells[-1]])) if len(cells) else 0


def _batches(run: Run, values: Float32Array, quality: QualityArray) -> list[Batch]:
    """Rows of one device that follow each other, a thousand at most."""
    device = np.zeros(len(values), np.uint8) if run.device is None else run.device
    edges = sorted({*range(0, len(values), _BATCH), *(np.flatnonzero(np.diff(device)) + 1).tolist(), len(values)})
    return [
        Batch(str(device[start]), run.t_ns[start:end], values[start:end], quality[start:end], TimeQuality.DEVICE)
        for start, end in itertools.pairwise(edges)
    ]

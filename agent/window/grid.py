"""The cells of one machine: every channel's samples by absolute cell number, combined while open, never altered once closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.types import Float32Array, Int64Array
from agent.window.contract import Contract

BoolArray = npt.NDArray[np.bool_]
Rows = slice | npt.NDArray[np.intp]

_NO_CELL = -(1 << 62)
_SPARE_WINDOWS = 3  # the buffer moves once in this many windows; more only costs memory


class Grid:
    """Cells [base, base + size) of all channels; those before `closed` are final, later ones still take samples.

    A closed cell that is NaN is a flaw: nothing came (missing), or a value that came was flagged (bad). Closed cells are handed out as read-only
    views without a copy, which is sound because a buffer that runs out is replaced and never written over.
    """

    def __init__(self, contract: Contract, channels: Sequence[str], feeds: int) -> None:
        """`channels` names the rows in full, for reasons; `feeds` is the number of devices."""
        self._channels = channels
        self._feeds = feeds
        self.recut(contract)
        self.begin(0)

    def begin(self, cell: int) -> None:
        """Forget everything; the first cell is `cell`."""
        self.closed = self._base = cell
        self._last_flaw = _NO_CELL
        self._allocate(self._usual_size, 0)

    def recut(self, contract: Contract) -> None:
        """Keep what windows of `contract` need, which is of the same channels and rate; closed cells stay as they are."""
        self._mean = contract.aggregate == "mean"
        self._hold = contract.hold_cells
        self._history = contract.window + contract.hold_cells
        self._usual_size = self._history + _SPARE_WINDOWS * contract.window

    @property
    def channels(self) -> int:
        """How many there are."""
        return len(self._channels)

    @property
    def first(self) -> int:
        """The oldest cell that is still kept."""
        return self._base

    @property
    def held(self) -> int:
        """Samples in cells that are still open."""
        return int(self._arrivals[:, self.closed - self._base :].sum())

    def place_run(self, feed: int, rows: Rows, cell: int, values: Float32Array) -> None:
        """Good samples, values [n, rows], one for each of the n empty cells from `cell` on."""
        end = cell + len(values)
        self._make_room(end)
        cells = slice(cell - self._base, end - self._base)
        self._values[rows, cells] = values.T
        self._filled[rows, cells] = True
        self._arrivals[feed, cells] = 1

    def combine(
        self,
        feed: int,
        rows: npt.NDArray[np.intp],
        cells: Int64Array,
        values: Float32Array,
        *,
        usable: BoolArray,
        flagged: BoolArray,
    ) -> None:
        """Any samples [n, rows] in open cells, in order of arrival: add the usable values, mark the cells of flagged ones."""
        self._make_room(int(cells.max()) + 1)
        offset = cells - self._base
        size = self._values.shape[1]
        np.add.at(self._arrivals[feed], offset[usable.any(axis=1)], 1)
        sample, column = np.nonzero(flagged)
        self._bad.reshape(-1)[rows[column] * size + offset[sample]] = True
        sample, column = np.nonzero(usable)
        flat = rows[column] * size + offset[sample]
        if self._mean:
            self._add_to_means(slice(int(offset.min()), int(offset.max()) + 1), flat, values[usable])
        else:
            self._values.reshape(-1)[flat] = values[usable]
        self._filled.reshape(-1)[flat] = True

    def close(self, end: int, *, clean: bool) -> int:
        """Make all cells before `end` final; returns the samples in them.

        `clean` promises that each of these cells has exactly one good sample of every device.
        """
        self._make_room(end)
        start, self.closed = self.closed, end
        if clean:
            return self._feeds * (end - start)
        self._finish(start, end)
        return int(self._arrivals[:, start - self._base : end - self._base].sum())

    def view(self, start: int, end: int) -> Float32Array:
        """Closed cells [channels, end - start], read-only."""
        return self._final[:, start - self._base : end - self._base]

    def flaw(self, start: int, end: int) -> str | None:
        """None where all of these closed cells are good, else the channel with the most flaws and their count."""
        if self._last_flaw < start:
            return None
        cells = slice(start - self._base, end - self._base)
        flawed = np.isnan(self._values[:, cells])
        counts = flawed.sum(axis=1)
        worst = int(counts.argmax())
        if not counts[worst]:
            return None
        bad = int((flawed[worst] & self._bad[worst, cells]).sum())
        missing = int(counts[worst]) - bad
        parts = [
            f"{number} of {end - start} cells {kind}" for number, kind in ((missing, "missing"), (bad, "bad")) if number
        ]
        return f"{self._channels[worst]}: {', '.join(parts)}"

    def _add_to_means(self, block: slice, flat: npt.NDArray[np.intp], added: Float32Array) -> None:
        """Add one value after another, so that however a batch was split the rounding is the same."""
        if not self._count.size:
            self._allocate_sums(self._values.shape[1])
        values, filled = self._values[:, block], self._filled[:, block]
        count, total = self._count[:, block], self._total[:, block]
        # A cell has a sum from its second value on. Minus zero is the one number whose sum with x is x, sign and all.
        single = filled & (count < 2)
        np.copyto(total, -0.0, where=~filled)
        np.copyto(total, values, where=single)
        np.copyto(count, 1, where=single)
        np.add.at(self._total.reshape(-1), flat, added.astype(np.float64))
        np.add.at(self._count.reshape(-1), flat, 1)
        np.divide(total, count, out=values, where=count > 0, casting="same_kind")

    def _finish(self, start: int, end: int) -> None:
        """Blank bad cells, let empty ones hold the last good value for a while, and note the last flaw."""
        first = max(start - self._hold, self._base)
        span = slice(first - self._base, end - self._base)
        new = start - first
        values, bad = self._values[:, span], self._bad[:, span]
        filled = self._filled[:, span]
        values[:, new:][bad[:, new:]] = np.nan
        if self._hold:
            cell = np.arange(values.shape[1])
            last_good = np.maximum.accumulate(np.where(filled & ~bad, cell, -1), axis=1)
            holds = ~filled & ~bad & (last_good >= 0) & (cell - last_good <= self._hold)
            held = np.take_along_axis(values, np.maximum(last_good, 0), axis=1)
            np.copyto(values[:, new:], held[:, new:], where=holds[:, new:])
        flaws = np.flatnonzero(np.isnan(values[:, new:]).any(axis=0))
        if len(flaws):
            self._last_flaw = start + int(flaws[-1])

    def _make_room(self, end: int) -> None:
        """Move to a fresh buffer where cells before `end` do not fit into this one."""
        if end - self._base <= self._values.shape[1]:
            return
        shift = max(0, self.closed - self._history - self._base)
        old = self._arrays()
        self._base += shift
        size = max(self._usual_size, end - self._base)
        self._allocate(size, size if self._count.size else 0)
        for before, after in zip(old, self._arrays(), strict=True):
            kept = max(0, min(before.shape[1] - shift, after.shape[1]))
            after[:, :kept] = before[:, shift : shift + kept]

    def _arrays(self) -> tuple[npt.NDArray[Any], ...]:
        return self._values, self._filled, self._bad, self._arrivals, self._count, self._total

    def _allocate(self, size: int, sums_size: int) -> None:
        shape = (len(self._channels), size)
        self._values: Float32Array = np.full(shape, np.nan, np.float32)
        self._final = self._values.view()
        self._final.flags.writeable = False
        self._filled = np.zeros(shape, np.bool_)
        self._bad = np.zeros(shape, np.bool_)
        self._arrivals = np.zeros((self._feeds, size), np.int32)
        self._allocate_sums(sums_size)

    def _allocate_sums(self, size: int) -> None:
        """Empty until samples first share a cell, which most devices' never do."""
        self._count = np.zeros((len(self._channels), size), np.int32)
        self._total = np.zeros((len(self._channels), size), np.float64)

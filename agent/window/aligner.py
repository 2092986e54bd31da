"""One machine's samples to windows: whose clock to believe, when a cell is complete, when a window is due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from agent.metrics import Balance, Counters
from agent.types import Batch, Float32Array, Int64Array, Quality, QualityArray, TimeQuality, Window
from agent.window.contract import Contract
from agent.window.grid import BoolArray, Grid, Rows

_NEVER = -(1 << 62)
_ABSENT = int(Quality.MISSING | Quality.STALE)  # leaves its cell as it was
_FLAGGED = 0xFF & ~_ABSENT  # whatever else is wrong spoils its cell
_TRUST = list(TimeQuality)  # best first
_DROPS = ("samples_late", "samples_disbelieved", "samples_unusable")
_COUNTERS = ("samples_in", "samples_placed", *_DROPS, "values_unusable", "windows", "windows_unknown", "restarts")


@dataclass(slots=True)
class _Feed:
    """One device's place in the model's input, and how far its clock has come, in cells."""

    index: int
    columns: npt.NDArray[np.intp]
    rows: npt.NDArray[np.intp]
    row_slice: Rows
    whole: bool  # the columns are 0, 1, 2, ... so that a batch with no others needs no selection
    disorder: int  # how far behind its newest sample one may come, in cells
    time_quality: TimeQuality = _TRUST[0]
    newest: int = _NEVER
    clean_from: int = _NEVER  # from here to `newest` every cell has exactly one good sample
    doubted: int | None = None  # a cell too far ahead, waiting for a second sample to confirm it
    back: tuple[int, int] | None = None  # first and last cell of a run of samples behind this device's own past

    def forget(self) -> None:
        """The grid starts anew."""
        self.newest = self.clean_from = _NEVER
        self.doubted = self.back = None

    def pick(self, batch: Batch) -> tuple[Float32Array, QualityArray]:
        """Columns that this machine uses, in the order of `rows`."""
        if self.whole and batch.values.shape[1] == len(self.rows):
            return batch.values, batch.quality
        return batch.values[:, self.columns], batch.quality[:, self.columns]


class Aligner:
    """Windows of one machine on the grid of its contract, cell k being [k * period, (k + 1) * period) of event time.

    A cell closes when every device has sent one that is later by more than its disorder, or when the newest sample is `lateness_ns` past it, so
    that a silent device stops nobody: its cells are missing. Windows end at multiples of `hop`, so that a restart cuts the same ones.

    Clocks are believed within `reach`, two windows and what the contract may skip. A sample further ahead is dropped until a second one of the
    same device, within reach of it, confirms that time has moved; then the grid starts anew there. A device whose samples fall behind its own
    past for a whole window has had its clock set back, and the grid starts anew there too: waiting costs one window at
    most, and so does filling a new grid. What was open is closed first, with at most one unknown window for the gap.

    The result depends on the order of the samples alone, not on how they were split into batches.

    Counters: samples_in = samples_placed + samples_late + samples_disbelieved + samples_unusable (no value of it could be placed, or all
    were flagged); values_unusable, windows, windows_unknown, restarts.
    """

    def __init__(
        self,
        machine: str,
        contract: Contract,
        feeds: Mapping[str, Sequence[tuple[int, int]]],
        lateness_ns: int,
        disorder_ns: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """`feeds` maps a device to (column of its batch, row of the model's input); raises ValueError unless every row has one.

        `disorder_ns` says of a device how much older than its newest sample one may be and still be put in place; zero where it is silent.
        """
        self._machine = machine
        self._period_ns = contract.period_ns
        disorder = {device: -(-disorder_ns.get(device, 0) // contract.period_ns) for device in feeds}
        self._lateness = max(-(-lateness_ns // contract.period_ns), *disorder.values())
        self._cut_by(contract)
        self._feeds = {
            device: _feed(index, pairs, disorder[device]) for index, (device, pairs) in enumerate(feeds.items())
        }
        self._all = tuple(self._feeds.values())
        self._grid = Grid(contract, _channel_names(contract, feeds), len(feeds))
        self._newest = _NEVER  # of all devices; never before the first sample
        self._next_end = 0
        self._left = 0
        self._time_quality = _TRUST[0]
        self.counters = Counters()
        for name in _COUNTERS:
            self.counters.add(name, 0)

    def add(self, batch: Batch) -> list[Window]:
        """Place a batch of one of the feeding devices (KeyError for any other); returns the windows it completed, oldest first."""
        feed = self._feeds[batch.device]
        windows: list[Window] = []
        count = len(batch.t_ns)
        if count == 0:
            return windows
        self.counters.add("samples_in", count)
        if batch.time_quality is not feed.time_quality:
            feed.time_quality = batch.time_quality
            self._time_quality = max((each.time_quality for each in self._all), key=_TRUST.index)
        values, quality = feed.pick(batch)
        self._take(feed, batch.t_ns // self._period_ns, values, quality, windows)
        return windows

    def recut(self, contract: Contract) -> None:
        """Cut the windows of another contract over the same channels at the same rate from now on; nothing that is held is lost or counted anew.

        The first of them ends behind all that is closed and begins in what is still kept: none is cut twice, and none is unknown for
        lack of a past. Raises ValueError, and changes nothing, where channels or rate are others.
        """
        if len(contract.channels) != self._grid.channels or contract.period_ns != self._period_ns:
            raise ValueError("a grid of other channels or another rate cannot be cut into these windows")
        self._cut_by(contract)
        self._grid.recut(contract)
        if self._newest != _NEVER:
            earliest = max(self._grid.closed + 1, self._grid.first + contract.window)
            self._next_end = _multiple_from(earliest, contract.hop)

    def balance(self) -> Balance:
        """Samples: entered, left into closed cells, held in open ones, dropped as late, disbelieved or unusable."""
        return Balance(
            entered=self.counters["samples_in"],
            left=self._left,
            held=self._grid.held,
            dropped=sum(self.counters[name] for name in _DROPS),
        )

    def _cut_by(self, contract: Contract) -> None:
        self._window = contract.window
        self._hop = contract.hop
        self._hold = contract.hold_cells
        self._reach = 2 * contract.window + contract.hop + contract.hold_cells
        self._open_limit = self._lateness + 2 * self._reach

    def _take(
        self, feed: _Feed, cells: Int64Array, values: Float32Array, quality: QualityArray, windows: list[Window]
    ) -> None:
        """Place the samples whole where their times are plain; else halve them until the odd one stands alone."""
        first, last = int(cells[0]), int(cells[-1])
        if self._newest == _NEVER:
            self._begin(first)
        if self._is_run(feed, first, last, cells) and _all_good(values, quality):
            self._place_run(feed, first, last, values)
        elif (late := self._late(feed, cells)) is not None:
            self._place(feed, cells, values, quality, late)
        elif len(cells) > 1:
            half = len(cells) // 2
            self._take(feed, cells[:half], values[:half], quality[:half], windows)
            self._take(feed, cells[half:], values[half:], quality[half:], windows)
            return
        elif self._has_moved(feed, first):
            self._restart(first, windows)
            self._take(feed, cells, values, quality, windows)
            return
        self._close(self._complete(), windows)

    def _is_run(self, feed: _Feed, first: int, last: int, cells: Int64Array) -> bool:
        """One sample a cell, in cells that this device has not reached yet: the usual case, kept cheap."""
        closed = self._grid.closed
        return (
            last - first == len(cells) - 1
            and first > feed.newest
            and first >= closed
            and first - self._newest <= self._reach
            and last - closed <= self._open_limit
            and not np.count_nonzero(cells != np.arange(first, last + 1))
        )

    def _place_run(self, feed: _Feed, first: int, last: int, values: Float32Array) -> None:
        self._grid.place_run(feed.index, feed.row_slice, first, values)
        self.counters.add("samples_placed", last - first + 1)
        if first != feed.newest + 1:
            feed.clean_from = first
        self._advance(feed, last)

    def _late(self, feed: _Feed, cells: Int64Array) -> BoolArray | None:
        """Which samples come after their cell has closed; None where one is out of reach, too far ahead or back."""
        own = np.maximum(np.maximum.accumulate(cells), feed.newest)
        newest = np.maximum(own, self._newest)
        ahead = cells - np.concatenate(([self._newest], newest[:-1]))
        others = min((each.newest - each.disorder for each in self._all if each is not feed), default=-_NEVER)
        closed = np.maximum(np.minimum(own - feed.disorder, others), newest - self._lateness)
        closed = np.maximum(closed, self._grid.closed)
        late: BoolArray = cells < closed
        odd = (ahead > self._reach).any() or (late & (cells < own - self._lateness)).any()
        return None if odd or newest[-1] - self._grid.closed > self._open_limit else late

    def _place(
        self, feed: _Feed, cells: Int64Array, values: Float32Array, quality: QualityArray, late: BoolArray
    ) -> None:
        """Count the late ones, combine the others into their cells."""
        flagged = (quality & _FLAGGED) != 0
        usable = np.isfinite(values) & ((quality & (_ABSENT | _FLAGGED)) == 0)
        timely = ~late
        placed = int((timely & usable.any(axis=1)).sum())
        self.counters.add("samples_late", int(late.sum()))
        self.counters.add("samples_placed", placed)
        self.counters.add("samples_unusable", int(timely.sum()) - placed)
        self.counters.add("values_unusable", int((~usable[timely]).sum()))
        if timely.any():
            self._grid.combine(
                feed.index, feed.rows, cells[timely], values[timely], usable=usable[timely], flagged=flagged[timely]
            )
        self._advance(feed, max(feed.newest, int(cells.max())))
        feed.clean_from = feed.newest + 1

    def _advance(self, feed: _Feed, newest: int) -> None:
        feed.newest = newest
        feed.doubted = feed.back = None
        self._newest = max(self._newest, newest)

    def _has_moved(self, feed: _Feed, cell: int) -> bool:
        """Judge a sample out of reach: True once it confirms that the device's clock has moved; else it is dropped."""
        if cell - self._newest > self._reach:
            confirmed = feed.doubted is not None and 0 <= cell - feed.doubted <= self._reach
            if not confirmed:
                feed.doubted = cell
                self.counters.add("samples_disbelieved")
            return confirmed
        feed.doubted = None
        first, last = feed.back or (cell, cell)
        feed.back = (first if 0 <= cell - last <= self._reach else cell, cell)
        confirmed = cell - feed.back[0] >= self._window
        if not confirmed:
            self.counters.add("samples_late")
        return confirmed

    def _restart(self, cell: int, windows: list[Window]) -> None:
        """Close what is open, up to the first window that the gap makes unknown, and begin again at `cell`."""
        self._close(_multiple_from(self._newest + 2 + self._hold, self._hop), windows)
        self._begin(cell)
        self.counters.add("restarts")

    def _begin(self, cell: int) -> None:
        for feed in self._all:
            feed.forget()
        self._grid.begin(cell)
        self._newest = cell
        self._next_end = _multiple_from(cell + self._window, self._hop)

    def _complete(self) -> int:
        """The first cell that may still take samples."""
        return max(min([feed.newest - feed.disorder for feed in self._all]), self._newest - self._lateness)

    def _close(self, end: int, windows: list[Window]) -> None:
        closed = self._grid.closed
        if end <= closed:
            return
        clean = True
        for feed in self._all:
            clean = clean and feed.clean_from <= closed and feed.newest >= end - 1
        self._left += self._grid.close(end, clean=clean)
        while self._next_end <= end:
            windows.append(self._cut(self._next_end))
            self._next_end += self._hop

    def _cut(self, end: int) -> Window:
        start = end - self._window
        unknown = self._grid.flaw(start, end)
        self.counters.add("windows")
        if unknown is not None:
            self.counters.add("windows_unknown")
        return Window(
            self._machine,
            start * self._period_ns,
            end * self._period_ns,
            self._grid.view(start, end),
            unknown,
            self._time_quality,
        )


def _all_good(values: Float32Array, quality: QualityArray) -> bool:
    return not np.count_nonzero(quality) and np.count_nonzero(np.isfinite(values)) == values.size


def _feed(index: int, pairs: Sequence[tuple[int, int]], disorder: int) -> _Feed:
    columns, rows = np.array(sorted(pairs, key=lambda pair: pair[1]), np.intp).T
    adjacent = rows[-1] - rows[0] == len(rows) - 1
    row_slice: Rows = slice(int(rows[0]), int(rows[-1]) + 1) if adjacent else rows
    return _Feed(index, columns, rows, row_slice, bool((columns == np.arange(len(columns))).all()), disorder)


def _channel_names(contract: Contract, feeds: Mapping[str, Sequence[tuple[int, int]]]) -> list[str]:
    """DEVICE.CHANNEL of every row."""
    owners = sorted((row, device) for device, pairs in feeds.items() for _, row in pairs)
    if [row for row, _ in owners] != list(range(len(contract.channels))):
        raise ValueError(
            f"feeds fill rows {[row for row, _ in owners]} of a model with {len(contract.channels)} rows: name each row once"
        )
    return [f"{device}.{contract.names[row]}" for row, device in owners]


def _multiple_from(value: int, step: int) -> int:
    """The first multiple of `step` that is not below `value`."""
    return -(-value // step) * step

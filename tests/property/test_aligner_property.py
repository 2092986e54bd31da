"""The aligner equals a naive one, however its samples were split into batches, bit for bit."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.types import Batch, Quality, TimeQuality, Window
from agent.window.aligner import Aligner
from agent.window.contract import Contract
from tests.harness.streams import CONTRACTS_OF_THREE, PERIOD_NS, pieces

FEEDS = {"a": [(2, 0), (0, 1)], "b": [(0, 2)]}
COLUMNS = {"a": 3, "b": 1}
LATENESS = 5
BAD = Quality.OUT_OF_RANGE | Quality.STUCK | Quality.CLIPPED
GAPS = st.sampled_from(
    [0, 0, 300_000, PERIOD_NS, PERIOD_NS, PERIOD_NS, 2 * PERIOD_NS, -PERIOD_NS, -3 * PERIOD_NS, 9 * PERIOD_NS]
)
LEAPS = st.sampled_from([20 * PERIOD_NS, 10**6 * PERIOD_NS, -(10**6) * PERIOD_NS, -12 * PERIOD_NS])
VALUES = st.sampled_from([0.1, 1e7, -3.3, 1 / 3, -0.0, 2.5e-7, 1e30, math.nan, math.inf])
QUALITIES = st.sampled_from([0] * 12 + [1, 2, 4, 8, 16, 10])


class Naive:
    """The aligner's rules, one sample and one dictionary at a time."""

    def __init__(self, contract: Contract, disorder: dict[str, int]) -> None:
        self.contract = contract
        self.disorder = disorder
        self.reach = 2 * contract.window + contract.hop + contract.hold_cells
        self.newest: int | None = None
        self.windows: list[tuple[int, list[list[float]], bool]] = []
        self.late = self.disbelieved = self.restarts = 0

    def begin(self, cell: int) -> None:
        self.values = defaultdict(list)
        self.bad = set()
        self.closed = self.start = self.newest = cell
        self.own = dict.fromkeys(FEEDS, -math.inf)
        self.doubt = {}
        self.back = {}

    def take(self, device: str, t_ns: int, values: np.ndarray, quality: np.ndarray) -> None:
        cell = t_ns // PERIOD_NS
        if self.newest is None:
            self.begin(cell)
        if cell - self.newest > self.reach:
            doubt = self.doubt.get(device)
            self.doubt[device] = cell
            if doubt is None or not doubt <= cell <= doubt + self.reach:
                self.disbelieved += 1
                return
            self.restart(cell)
        elif cell < self.closed and cell < self.own[device] - LATENESS:
            self.doubt.pop(device, None)
            first, last = self.back.get(device, (cell, cell))
            first = first if last <= cell <= last + self.reach else cell
            self.back[device] = (first, cell)
            if cell - first < self.contract.window:
                self.late += 1
                return
            self.restart(cell)
        self.doubt.pop(device, None)
        self.back.pop(device, None)
        if cell < self.closed:
            self.late += 1
        else:
            self.place(device, cell, values, quality)
        self.own[device] = max(self.own[device], cell)
        self.newest = max(self.newest, cell)
        self.close(max(min(own - self.disorder[device] for device, own in self.own.items()), self.newest - LATENESS))

    def place(self, device: str, cell: int, values: np.ndarray, quality: np.ndarray) -> None:
        for column, row in FEEDS[device]:
            if quality[column] & BAD:
                self.bad.add((row, cell))
            elif not quality[column] and math.isfinite(values[column]):
                self.values[row, cell].append(float(values[column]))

    def restart(self, cell: int) -> None:
        hop = self.contract.hop
        self.close(-(-(self.newest + 2 + self.contract.hold_cells) // hop) * hop)
        self.begin(cell)
        self.restarts += 1

    def close(self, end: float) -> None:
        while self.closed < end:
            self.closed += 1
            if self.closed % self.contract.hop == 0 and self.closed - self.contract.window >= self.start:
                self.cut(self.closed)

    def cut(self, end: int) -> None:
        cells = range(end - self.contract.window, end)
        rows = [[self.final(row, cell) for cell in cells] for row in range(3)]
        self.windows.append((end, rows, any(math.isnan(value) for row in rows for value in row)))

    def final(self, row: int, cell: int) -> float:
        if (row, cell) in self.bad:
            return math.nan
        for back in range(self.contract.hold_cells + 1):
            if self.values[row, cell - back] and (row, cell - back) not in self.bad:
                return self.combined(self.values[row, cell - back])
        return math.nan

    def combined(self, values: list[float]) -> float:
        if self.contract.aggregate == "last":
            return values[-1]
        total = -0.0
        for value in values:
            total += value
        return float(np.float32(total / len(values)))


@st.composite
def streams(draw: st.DrawFn) -> list[Batch]:
    """Batches of two devices: mostly regular runs, some with gaps, repeats, leaps and bad values."""
    clocks = dict.fromkeys(FEEDS, draw(st.integers(0, 10**6)))
    batches = []
    for _ in range(draw(st.integers(1, 8))):
        device = draw(st.sampled_from(sorted(FEEDS)))
        count = draw(st.integers(1, 24))
        if draw(st.booleans()):
            steps = [PERIOD_NS] * count
        else:
            steps = draw(st.lists(GAPS | LEAPS if draw(st.booleans()) else GAPS, min_size=count, max_size=count))
        t_ns = clocks[device] + np.cumsum(np.array(steps, np.int64))
        clocks[device] = int(t_ns[-1])
        shape = (count, COLUMNS[device])
        values = np.arange(count * COLUMNS[device], dtype=np.float32).reshape(shape) / np.float32(7)
        quality = np.zeros(shape, np.uint8)
        if draw(st.booleans()):
            size = values.size
            values = np.array(draw(st.lists(VALUES, min_size=size, max_size=size)), np.float32).reshape(shape)
            quality = np.array(draw(st.lists(QUALITIES, min_size=size, max_size=size)), np.uint8).reshape(shape)
        batches.append(Batch(device, t_ns, values, quality, TimeQuality.DEVICE))
    return batches


DISORDERS = st.fixed_dictionaries({device: st.sampled_from([0, 0, 1, 4]) for device in FEEDS})


def made(terms: Contract, disorder: dict[str, int]) -> Aligner:
    return Aligner(
        "m", terms, FEEDS, LATENESS * PERIOD_NS, {device: cells * PERIOD_NS for device, cells in disorder.items()}
    )


def spelled(windows: list[Window]) -> list[tuple[int, bytes, str | None]]:
    return [(window.end_ns, window.values.tobytes(), window.unknown) for window in windows]


@settings(max_examples=150, deadline=None)
@given(CONTRACTS_OF_THREE, DISORDERS, streams(), st.data())
def test_windows_do_not_depend_on_how_samples_were_split(
    terms: Contract, disorder: dict[str, int], batches: list[Batch], data: st.DataObject
) -> None:
    whole, single, random = (made(terms, disorder) for _ in range(3))
    expected = spelled([window for batch in batches for window in whole.add(batch)])
    one_by_one = [
        window for batch in batches for part in pieces(batch, range(1, len(batch))) for window in single.add(part)
    ]
    assert spelled(one_by_one) == expected
    cut: list[Window] = []
    for batch in batches:
        for part in pieces(batch, data.draw(st.lists(st.integers(0, len(batch)), max_size=3))):
            cut += random.add(part)
            assert random.balance().missing == 0
    assert spelled(cut) == expected
    assert whole.counters.snapshot() == single.counters.snapshot() == random.counters.snapshot()


@settings(max_examples=150, deadline=None)
@given(CONTRACTS_OF_THREE, DISORDERS, streams())
def test_windows_equal_those_of_a_naive_aligner(
    terms: Contract, disorder: dict[str, int], batches: list[Batch]
) -> None:
    aligner, naive = made(terms, disorder), Naive(terms, disorder)
    windows = [window for batch in batches for window in aligner.add(batch)]
    for batch in batches:
        for t_ns, values, quality in zip(batch.t_ns.tolist(), batch.values, batch.quality, strict=True):
            naive.take(batch.device, t_ns, values, quality)
    assert [window.end_ns // PERIOD_NS for window in windows] == [end for end, _, _ in naive.windows]
    for window, (_, rows, unknown) in zip(windows, naive.windows, strict=True):
        np.testing.assert_array_equal(window.values, np.array(rows, np.float32))
        assert (window.unknown is not None) == unknown
    counted = [aligner.counters[name] for name in ("samples_late", "samples_disbelieved", "restarts")]
    assert counted == [naive.late, naive.disbelieved, naive.restarts]
    assert aligner.balance().missing == 0

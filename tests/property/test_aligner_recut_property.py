"""An aligner that is given other windows in mid-stream: the same contract changes nothing, another one loses and doubles nothing."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.types import Batch, TimeQuality, Window
from agent.window.aligner import Aligner
from agent.window.contract import Contract
from tests.harness.streams import PERIOD_NS, contract

FEEDS = {"a": [(0, 0), (1, 1)], "b": [(0, 2)]}
LATENESS_NS = 5 * PERIOD_NS


def batches(seed: int, count: int) -> list[Batch]:
    """Two devices side by side, with gaps, samples that share a cell, and values that are flagged; near enough to one another that no clock is doubted."""
    random = np.random.default_rng(seed)
    cell = {"a": 0, "b": 0}
    found = []
    for _ in range(count):
        device = min(cell, key=cell.__getitem__)
        n = int(random.integers(1, 4))
        steps = random.choice([0, 1, 1, 1, 1, 2], n)
        cells = cell[device] + np.cumsum(steps)
        cell[device] = int(cells[-1])
        columns = len(FEEDS[device])
        values = random.standard_normal((n, columns)).astype(np.float32)
        quality = random.choice([0, 0, 0, 0, 2], (n, columns)).astype(np.uint8)
        found.append(Batch(device, cells * PERIOD_NS, values, quality, TimeQuality.DEVICE))
    return found


def fed(aligner: Aligner, stream: list[Batch]) -> list[Window]:
    return [window for batch in stream for window in aligner.add(batch)]


def like(one: Window, other: Window) -> bool:
    same = (one.start_ns, one.end_ns, one.unknown) == (other.start_ns, other.end_ns, other.unknown)
    return same and np.array_equal(one.values, other.values, equal_nan=True)


CONTRACTS = st.builds(
    lambda window, hop, hold, aggregate: contract(
        channels=3, window=window, hop=hop, hold_cells=hold, aggregate=aggregate
    ),
    st.integers(4, 24),
    st.integers(1, 16),
    st.integers(0, 3),
    st.sampled_from(["mean", "last"]),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), terms=CONTRACTS, at=st.lists(st.integers(0, 80), max_size=4))
def test_the_same_windows_once_more_change_nothing(seed: int, terms: Contract, at: list[int]) -> None:
    stream = batches(seed, 80)
    plain, recut = Aligner("m", terms, FEEDS, LATENESS_NS), Aligner("m", terms, FEEDS, LATENESS_NS)
    expected, found = fed(plain, stream), []
    for number, batch in enumerate(stream):
        if number in at:
            recut.recut(msgspec.structs.replace(terms))
        found += recut.add(batch)
    assert len(found) == len(expected)
    assert all(map(like, found, expected))
    assert recut.balance() == plain.balance()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), before=CONTRACTS, after=CONTRACTS, at=st.integers(0, 80))
def test_other_windows_take_over_what_is_held(seed: int, before: Contract, after: Contract, at: int) -> None:
    after = msgspec.structs.replace(after, hold_cells=before.hold_cells, aggregate=before.aggregate)
    stream = batches(seed, 80)
    aligner = Aligner("m", before, FEEDS, LATENESS_NS)
    early = fed(aligner, stream[:at])
    books = aligner.balance()
    aligner.recut(after)
    assert aligner.balance() == books, "nothing is counted anew, lost or let go"
    late = fed(aligner, stream[at:])
    assert aligner.balance().missing == 0
    assert sum(len(batch) for batch in stream) == aligner.balance().entered
    ends = [window.end_ns for window in late]
    assert ends == sorted(set(ends)), "no window is cut twice"
    assert all(end % (after.hop * PERIOD_NS) == 0 for end in ends)
    assert all(window.values.shape == (3, after.window) for window in late)
    if early and ends:
        assert ends[0] > early[-1].end_ns
    # From its first window on they are those of an aligner that had always cut so, bit for bit.
    always = {window.end_ns: window for window in fed(Aligner("m", after, FEEDS, LATENESS_NS), stream)}
    alike = [window for window in late if window.end_ns in always]
    assert all(like(window, always[window.end_ns]) for window in alike)
    if late:
        known = [end for end in always if end >= ends[0]]
        assert [window.end_ns for window in late] == known, "none is left out behind the first"


def test_smaller_windows_go_on_at_once_and_larger_ones_once_they_are_full() -> None:
    stream = [
        Batch(device, np.array([n]) * PERIOD_NS, np.ones((1, len(FEEDS[device])), np.float32),
              np.zeros((1, len(FEEDS[device])), np.uint8), TimeQuality.DEVICE)
        for n in range(200) for device in ("a", "b")
    ]  # fmt: skip
    for window, latest in ((4, 104), (16, 104), (64, 168)):
        aligner = Aligner("m", contract(channels=3, window=16, hop=8), FEEDS, LATENESS_NS)
        fed(aligner, stream[:202])
        aligner.recut(contract(channels=3, window=window, hop=8))
        first = fed(aligner, stream[202:])[0]
        assert first.end_ns <= latest * PERIOD_NS
        assert first.unknown is None


def test_other_channels_or_another_rate_are_refused_and_change_nothing() -> None:
    terms = contract(channels=3, window=8, hop=4)
    aligner, plain = Aligner("m", terms, FEEDS, LATENESS_NS), Aligner("m", terms, FEEDS, LATENESS_NS)
    stream = batches(1, 60)
    fed(aligner, stream[:30])
    for other in (contract(channels=2, window=8, hop=4), msgspec.structs.replace(terms, rate_hz=terms.rate_hz * 2)):
        with pytest.raises(ValueError, match="other channels or another rate"):
            aligner.recut(other)
    fed(plain, stream[:30])
    assert all(map(like, fed(aligner, stream[30:]), fed(plain, stream[30:])))
    assert aligner.balance() == plain.balance()

"""What the aligner does with regular, late, missing, flagged and absurdly timed samples."""

from __future__ import annotations

import numpy as np
import pytest

from agent.types import Quality, TimeQuality, Window
from agent.window.aligner import Aligner
from tests.harness.streams import PERIOD_NS, batch, contract

ONE = {"a": [(0, 0)]}
TWO = {"a": [(0, 0)], "b": [(0, 1)]}


def cells(first: int, count: int, device: str = "a", value: float | None = None):
    """One good sample in each of `count` cells, worth its cell number unless told."""
    numbers = range(first, first + count)
    return batch(
        [n * PERIOD_NS + 7 for n in numbers], [[n if value is None else value] for n in numbers], device=device
    )


def spans(windows: list[Window]) -> list[tuple[int, int]]:
    return [(window.start_ns // PERIOD_NS, window.end_ns // PERIOD_NS) for window in windows]


def balanced(aligner: Aligner) -> bool:
    return aligner.balance().missing == 0


def test_windows_end_at_multiples_of_the_hop_and_the_first_is_full() -> None:
    windows = Aligner("m", contract(), ONE, 0).add(cells(101, 9))
    assert spans(windows) == [(102, 106), (104, 108)]
    assert windows[0].values.tolist() == [[102, 103, 104, 105]]
    assert [window.unknown for window in windows] == [None, None]


def test_a_cell_stays_open_until_its_device_has_moved_past_it() -> None:
    aligner = Aligner("m", contract(), ONE, 0)
    assert aligner.add(cells(100, 4)) == []
    assert aligner.balance().held == 1
    assert spans(aligner.add(cells(104, 1))) == [(100, 104)]


def test_a_hop_longer_than_the_window_leaves_cells_out() -> None:
    aligner = Aligner("m", contract(hop=10), ONE, 0)
    assert spans(aligner.add(cells(100, 31))) == [(106, 110), (116, 120), (126, 130)]
    assert aligner.balance().left == 30
    assert balanced(aligner)


def test_samples_of_one_cell_are_averaged() -> None:
    aligner = Aligner("m", contract(window=1, hop=1), ONE, 0)
    [window] = aligner.add(batch([0, 10, 20, PERIOD_NS], [[1], [2], [6], [0]]))
    assert window.values.tolist() == [[3.0]]


def test_the_last_sample_of_a_cell_wins_where_the_contract_says_so() -> None:
    aligner = Aligner("m", contract(window=1, hop=1, aggregate="last"), ONE, 0)
    [window] = aligner.add(batch([0, 10, 20, PERIOD_NS], [[1], [2], [6], [0]]))
    assert window.values.tolist() == [[6.0]]


def test_minus_zero_survives_the_average() -> None:
    aligner = Aligner("m", contract(window=1, hop=1), ONE, 0)
    [window] = aligner.add(batch([0, 1, PERIOD_NS], [[-0.0], [-0.0], [1]]))
    assert np.signbit(window.values[0, 0])


def test_an_empty_cell_makes_the_window_unknown_and_the_reason_names_the_worst_channel() -> None:
    aligner = Aligner("m", contract(channels=2), {"pump": [(1, 0), (0, 1)]}, 0)
    times = [n * PERIOD_NS for n in range(5)]
    values = [[0, 10], [1, np.nan], [2, np.nan], [np.nan, 13], [4, 14]]
    [window] = aligner.add(batch(times, values, device="pump"))
    assert window.unknown == "pump.c0: 2 of 4 cells missing"
    assert aligner.counters["windows_unknown"] == 1
    assert aligner.counters["values_unusable"] == 3


def test_an_empty_cell_holds_the_last_good_value_no_longer_than_the_contract_allows() -> None:
    aligner = Aligner("m", contract(window=8, hop=8, hold_cells=2), ONE, 0)
    [window] = aligner.add(batch([n * PERIOD_NS for n in (0, 1, 4, 8)], [[5], [6], [7], [8]]))
    np.testing.assert_array_equal(window.values, [[5, 6, 6, 6, 7, 7, 7, np.nan]])
    assert window.unknown == "a.c0: 1 of 8 cells missing"


def test_a_held_value_reaches_across_batches_and_windows() -> None:
    aligner = Aligner("m", contract(window=2, hop=2, hold_cells=3), ONE, 0)
    windows = aligner.add(cells(0, 2)) + aligner.add(cells(4, 1))
    assert [window.values.tolist() for window in windows] == [[[0, 1]], [[1, 1]]]


@pytest.mark.parametrize("flag", [Quality.OUT_OF_RANGE, Quality.STUCK, Quality.CLIPPED])
def test_a_flagged_value_spoils_its_cell_even_beside_a_good_one(flag: Quality) -> None:
    aligner = Aligner("m", contract(hold_cells=4), ONE, 0)
    times = [0, 1, PERIOD_NS, 2 * PERIOD_NS, 3 * PERIOD_NS, 4 * PERIOD_NS]
    [window] = aligner.add(batch(times, [[1]] * 6, [[0], [flag], [0], [0], [0], [0]]))
    assert window.unknown == "a.c0: 1 of 4 cells bad"
    assert np.isnan(window.values[0, 0])
    assert balanced(aligner)


@pytest.mark.parametrize(("value", "flag"), [(1.0, Quality.MISSING), (1.0, Quality.STALE), (np.inf, 0), (np.nan, 0)])
def test_a_missing_stale_or_non_finite_value_leaves_its_cell_to_others(value: float, flag: int) -> None:
    aligner = Aligner("m", contract(window=1, hop=1), ONE, 0)
    [window] = aligner.add(batch([0, 1, PERIOD_NS], [[value], [3], [4]], [[flag], [0], [0]]))
    assert window.unknown is None
    assert window.values.tolist() == [[3.0]]
    assert aligner.counters["samples_unusable"] == 1
    assert balanced(aligner)


def test_a_silent_device_stops_nobody_and_its_cells_are_missing() -> None:
    aligner = Aligner("m", contract(channels=2), TWO, lateness_ns=3 * PERIOD_NS)
    assert aligner.add(cells(0, 7)) == []
    [window] = aligner.add(cells(7, 1))
    assert window.unknown == "b.c1: 4 of 4 cells missing"


def test_a_cell_waits_for_the_slower_device_within_the_lateness() -> None:
    aligner = Aligner("m", contract(channels=2), TWO, lateness_ns=100 * PERIOD_NS)
    assert aligner.add(cells(0, 20)) == []
    windows = aligner.add(cells(0, 5, device="b", value=-1))
    assert spans(windows) == [(0, 4)]
    assert windows[0].values.tolist() == [[0, 1, 2, 3], [-1, -1, -1, -1]]
    assert aligner.balance().held == 17


def test_a_late_sample_within_the_devices_disorder_is_put_in_place() -> None:
    aligner = Aligner("m", contract(), ONE, 0, {"a": 3 * PERIOD_NS})
    windows = aligner.add(cells(100, 2)) + aligner.add(cells(103, 2)) + aligner.add(cells(102, 1))
    assert windows == []
    windows = aligner.add(cells(105, 3))
    assert spans(windows) == [(100, 104)]
    assert windows[0].values.tolist() == [[100, 101, 102, 103]]
    assert balanced(aligner)


def test_a_sample_later_than_the_devices_disorder_is_counted() -> None:
    aligner = Aligner("m", contract(), ONE, 0, {"a": 3 * PERIOD_NS})
    aligner.add(cells(100, 2))
    aligner.add(cells(103, 4))
    aligner.add(cells(102, 1))
    assert aligner.counters["samples_late"] == 1
    assert balanced(aligner)


def test_a_late_sample_is_dropped_and_counted() -> None:
    aligner = Aligner("m", contract(channels=2), TWO, lateness_ns=3 * PERIOD_NS)
    aligner.add(cells(0, 20))
    aligner.add(cells(10, 1, device="b"))
    assert aligner.counters["samples_late"] == 1
    assert balanced(aligner)


def test_a_window_carries_the_worst_time_quality_of_its_devices() -> None:
    aligner = Aligner("m", contract(channels=2, window=1, hop=1), TWO, 0)
    aligner.add(batch([0], [[1]], device="b", time_quality=TimeQuality.ARRIVAL))
    windows = aligner.add(cells(0, 2)) + aligner.add(cells(1, 1, device="b"))
    assert windows[0].time_quality is TimeQuality.ARRIVAL


def test_one_absurd_time_stamp_is_not_believed() -> None:
    aligner = Aligner("m", contract(), ONE, 0)
    windows = aligner.add(cells(0, 5)) + aligner.add(cells(10**9, 1)) + aligner.add(cells(5, 4))
    assert spans(windows) == [(0, 4), (2, 6), (4, 8)]
    assert [window.unknown for window in windows] == [None] * 3
    assert aligner.counters["samples_disbelieved"] == 1
    assert aligner.counters["restarts"] == 0
    assert balanced(aligner)


def test_two_absurd_time_stamps_that_disagree_are_not_believed() -> None:
    aligner = Aligner("m", contract(), ONE, 0)
    aligner.add(cells(0, 5))
    aligner.add(batch([10**15, 10**17, 10**16], [[0]] * 3))
    assert aligner.counters["samples_disbelieved"] == 3
    assert spans(aligner.add(cells(5, 4))) == [(2, 6), (4, 8)]


def test_a_good_sample_between_two_absurd_ones_takes_their_word_away() -> None:
    aligner = Aligner("m", contract(), ONE, 0)
    for first in (0, 10**9, 1, 10**9 + 1, 2):
        aligner.add(cells(first, 1))
    assert aligner.counters["samples_disbelieved"] == 2
    assert aligner.counters["restarts"] == 0


@pytest.mark.parametrize(("gap", "disbelieved"), [(10, 0), (11, 1)])
def test_reach_is_two_windows_and_a_hop(gap: int, disbelieved: int) -> None:
    aligner = Aligner("m", contract(), ONE, 0)
    aligner.add(cells(0, 5))
    aligner.add(cells(4 + gap, 1))
    assert aligner.counters["samples_disbelieved"] == disbelieved


def test_a_confirmed_jump_starts_the_grid_anew_with_one_unknown_window() -> None:
    aligner = Aligner("m", contract(), ONE, 0)
    windows = aligner.add(cells(0, 8)) + aligner.add(cells(10**9, 8))
    unknown = [window for window in windows if window.unknown]
    assert spans(unknown) == [(6, 10)]
    assert spans(windows)[-1] == (10**9 + 2, 10**9 + 6)
    assert aligner.counters["restarts"] == 1
    assert aligner.counters["samples_disbelieved"] == 1
    assert balanced(aligner)


def test_a_gap_within_reach_needs_no_confirmation() -> None:
    aligner = Aligner("m", contract(), ONE, 0)
    windows = aligner.add(cells(0, 4)) + aligner.add(cells(10, 6))
    assert [window.unknown is None for window in windows] == [True, False, False, False, False, True]
    assert aligner.counters["samples_disbelieved"] == 0


def test_a_clock_set_back_restarts_the_grid_after_a_window_of_late_samples() -> None:
    aligner = Aligner("m", contract(), ONE, 0)
    aligner.add(cells(10**6, 10))
    windows = aligner.add(cells(0, 20))
    assert aligner.counters["restarts"] == 1
    assert aligner.counters["samples_late"] == 4
    assert spans([window for window in windows if window.unknown is None])[-1] == (14, 18)
    assert balanced(aligner)


def test_a_first_time_stamp_in_the_far_future_does_not_block_for_ever() -> None:
    aligner = Aligner("m", contract(), ONE, 0)
    aligner.add(cells(10**12, 1))
    assert spans(aligner.add(cells(0, 20)))[-1] == (14, 18)


def test_a_device_that_always_lags_makes_windows_unknown_but_never_restarts_the_grid() -> None:
    aligner = Aligner("m", contract(channels=2), TWO, lateness_ns=2 * PERIOD_NS)
    windows = []
    for step in range(20):
        windows += aligner.add(cells(100 + 5 * step, 5))
        windows += aligner.add(cells(50 + 5 * step, 5, device="b"))
    assert aligner.counters["restarts"] == 0
    assert len(windows) > 40
    assert all(window.unknown == "b.c1: 4 of 4 cells missing" for window in windows)


def test_a_jump_of_decades_costs_no_memory_and_no_flood_of_windows() -> None:
    aligner = Aligner("m", contract(hop=1), ONE, lateness_ns=10 * PERIOD_NS)
    aligner.add(cells(0, 10))
    decades = 40 * 365 * 86_400 * 1_000
    windows = [window for step in range(5) for window in aligner.add(cells(decades * (step + 1), 10))]
    assert sum(window.unknown is not None for window in windows) <= 5
    assert aligner._grid._values.nbytes < 10_000


def test_a_window_is_read_only_and_outlives_the_buffer_it_was_cut_from() -> None:
    aligner = Aligner("m", contract(), ONE, 0)
    [window] = aligner.add(cells(0, 5))
    for start in range(5, 2_000, 5):
        aligner.add(cells(start, 5, value=-1))
    assert window.values.tolist() == [[0, 1, 2, 3]]
    with pytest.raises(ValueError):
        window.values[0, 0] = 1


def test_feeds_that_leave_a_row_without_a_device_are_refused() -> None:
    with pytest.raises(ValueError, match="name each row once"):
        Aligner("m", contract(channels=2), ONE, 0)

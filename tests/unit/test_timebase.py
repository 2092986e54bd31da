"""Time bases: counter time keeps the rate and stays near arrival, arrival time never repeats, wild device stamps are dropped."""

from itertools import chain

import numpy as np
import pytest

from agent.decode.timebase import ArrivalTime, CounterTime, DeviceTime

MS = 1_000_000
T0 = 1_700_000_000_000 * MS


def ints(values):
    return np.array(values, dtype=np.int64)


class TestCounterTime:
    def test_jitter_of_arrival_does_not_reach_the_stamps(self):
        clock = CounterTime(1000.0, 250 * MS)
        first = clock.stamp(ints([0, 1, 2]), ints([T0] * 3))
        second = clock.stamp(ints([3, 4]), ints([T0 + 40 * MS] * 2))
        assert first.tolist() == [T0 - 2 * MS, T0 - MS, T0]
        assert second.tolist() == [T0 + MS, T0 + 2 * MS]

    def test_lost_samples_leave_their_time_empty(self):
        clock = CounterTime(1000.0, 250 * MS)
        assert clock.stamp(ints([0, 5]), ints([T0, T0])).tolist() == [T0 - 5 * MS, T0]

    @pytest.mark.parametrize("drift", [0.999, 1.001])
    def test_drift_is_bounded_by_anchoring_anew(self, drift):
        clock = CounterTime(100.0, 50 * MS)
        worst = 0
        for i in range(20_000):
            arrived = T0 + round(i * 10 * MS * drift)
            worst = max(worst, abs(int(clock.stamp(ints([i]), ints([arrived]))[0]) - arrived))
        assert worst <= 50 * MS
        assert 3 <= clock.reanchored <= 5  # 200 s with 0.1 % are 200 ms

    def test_one_call_over_many_chunks_equals_many_calls(self):
        positions, arrivals = np.arange(1000), T0 + (np.arange(1000) // 10) * 11 * MS
        whole = CounterTime(1000.0, 20 * MS)
        together = whole.stamp(positions, arrivals)
        split = CounterTime(1000.0, 20 * MS)
        apart = [split.stamp(positions[i : i + 10], arrivals[i : i + 10]) for i in range(0, 1000, 10)]
        assert together.tolist() == np.concatenate(apart).tolist()
        assert whole.reanchored == split.reanchored > 0

    def test_times_increase_through_an_anchor_set_back(self):
        clock = CounterTime(10.0, 50 * MS)
        times = [int(clock.stamp(ints([i]), ints([T0 + i * 60 * MS]))[0]) for i in range(100)]
        assert clock.reanchored > 0
        assert all(np.diff(times) > 0)

    def test_a_host_clock_set_back_an_hour_is_followed(self):
        clock = CounterTime(10.0, 50 * MS)
        clock.stamp(ints([0]), ints([T0]))
        assert clock.stamp(ints([1]), ints([T0 - 3_600_000 * MS])).tolist() == [T0 - 3_600_000 * MS]


class TestArrivalTime:
    def test_samples_that_arrive_together_are_spaced_back(self):
        times = ArrivalTime(100.0).stamp(ints([T0, T0, T0, T0 + 100 * MS]))
        assert times.tolist() == [T0 - 20 * MS, T0 - 10 * MS, T0, T0 + 100 * MS]

    def test_times_increase_where_bursts_overlap(self):
        clock = ArrivalTime(100.0)
        first = clock.stamp(ints([T0] * 3))
        second = clock.stamp(ints([T0 + MS] * 5 + [T0 + 2 * MS] * 5))
        assert (np.diff(np.concatenate([first, second])) > 0).all()

    def test_a_host_clock_set_back_is_followed(self):
        clock = ArrivalTime(100.0)
        clock.stamp(ints([T0]))
        assert clock.stamp(ints([T0 - 3_600_000 * MS])).tolist() == [T0 - 3_600_000 * MS]


class TestDeviceTime:
    @pytest.mark.parametrize("step", [1, 2, 100])
    def test_one_wild_stamp_is_dropped(self, step):
        clock = DeviceTime(1000)
        stamps = [10, 20, 9_000_000, 30, 40]
        kept = [clock.plausible(ints(stamps[i : i + step])).tolist() for i in range(0, 5, step)]
        assert list(chain.from_iterable(kept)) == [True, True, False, True, True]

    @pytest.mark.parametrize("step", [1, 2, 100])
    def test_a_clock_that_was_set_is_believed_at_the_second_sample(self, step):
        clock = DeviceTime(1000)
        stamps = [10, 20, 9_000_000, 9_000_010, 9_000_020]
        kept = [clock.plausible(ints(stamps[i : i + step])).tolist() for i in range(0, 5, step)]
        assert list(chain.from_iterable(kept)) == [True, True, False, True, True]

    def test_the_extremes_of_int64_are_judged_too(self):
        clock = DeviceTime(1000)
        assert clock.plausible(ints([10, 1 << 62, -(1 << 62), 11])).tolist() == [True, False, False, True]

"""Time bases: arrival time never repeats, wild device stamps are dropped."""

from itertools import chain

import numpy as np
import pytest

from agent.decode.timebase import ArrivalTime, DeviceTime

MS = 1_000_000
T0 = 1_700_000_000_000 * MS


def ints(values):
    return np.array(values, dtype=np.int64)


class TestArrivalTime:
    def test_samples_that_arrive_together_are_spaced_back(self):
        times = ArrivalTime(100.0).stamp(ints([T0, T0, T0, T0 + 100 * MS]))
        assert times.tolist() == [T0 - 20 * MS, T0 - 10 * MS, T0, T0 + 100 * MS]

    def test_times_increase_where_bursts_overlap(self):
        clock = ArrivalTime(100.0)
        first = clock.stamp(ints([T0] * 3))
        second = clock.stamp(ints([T0 + MS] * 5 + [T0 + 2 * MS] * 5))
        assert (np.diff(np.concatenate([first, second])) > 0).all()

    def test_a_burst_longer_than_the_time_since_the_last_does_not_go_back(self):
        clock = ArrivalTime(10.0)
        first = clock.stamp(ints([T0]))
        second = clock.stamp(ints([T0 + 1_000 * MS] * 30))
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

"""Counter time: jitter stays out of the stamps, drift is found, and only a lasting contradiction makes time jump."""

import numpy as np
import pytest

from agent.decode.timebase_counter import CounterTime
from tests.harness.arrivals import START_NS as T0
from tests.harness.arrivals import Link, stamped

MS = 1_000_000
SECOND = 1_000 * MS


def ints(values):
    return np.array(values, dtype=np.int64)


def counter(rate_hz=1000.0, max_departure_ms=250):
    return CounterTime(rate_hz, max_departure_ms * MS)


def errors_ms(link, seconds, seed=1, calls=100):
    """Of every sample's event time."""
    position, arrived_ns = link.chunks(seconds, np.random.default_rng(seed))
    clock = counter(link.rate_hz)
    t_ns = np.concatenate(list(stamped(clock, position, arrived_ns, calls)))
    assert (np.diff(t_ns) > 0).all()
    assert clock.reanchored == 0
    return (t_ns - link.taken_ns(position.reshape(-1))) / MS, clock


def test_the_newest_sample_of_the_first_chunk_was_taken_when_it_arrived():
    assert counter().stamp(ints([0, 5]), ints([T0, T0])).tolist() == [T0 - 5 * MS, T0]


def test_jitter_of_arrival_does_not_reach_the_stamps():
    clock = counter()
    first = clock.stamp(ints([0, 1, 2]), ints([T0] * 3))
    second = clock.stamp(ints([3, 4]), ints([T0 + 40 * MS] * 2))
    assert first.tolist() == [T0 - 2 * MS, T0 - MS, T0]
    assert second.tolist() == [T0 + MS, T0 + 2 * MS]


@pytest.mark.parametrize("drift_ppm", [0.0, 50.0, -200.0])
@pytest.mark.parametrize(("rate_hz", "chunk"), [(1000.0, 10), (10.0, 1)])
def test_after_a_minute_20_ms_of_jitter_are_less_than_one(rate_hz, chunk, drift_ppm):
    link = Link(rate_hz, chunk, drift_ppm=drift_ppm)
    error_ms, _ = errors_ms(link, 180.0)
    assert np.abs(error_ms[round(60 * rate_hz) :]).max() < 1.0
    assert np.abs(error_ms).max() < 21.0


@pytest.mark.parametrize(("rate_hz", "chunk"), [(1000.0, 10), (10.0, 1)])
def test_after_ten_minutes_drift_is_known_to_one_ppm(rate_hz, chunk):
    _, clock = errors_ms(Link(rate_hz, chunk, drift_ppm=50.0), 600.0)
    assert clock.line.drift_ppm == pytest.approx(50.0, abs=1.0)
    assert clock.line.residual_ns == pytest.approx(10 * MS, rel=0.1)


@pytest.mark.parametrize("drift_ppm", [20_000.0, -20_000.0])
def test_an_oscillator_two_percent_off_is_followed_from_the_start(drift_ppm):
    error_ms, _ = errors_ms(Link(1000.0, 10, drift_ppm=drift_ppm), 90.0)
    assert np.abs(error_ms).max() < 60.0
    assert np.abs(error_ms[60_000:]).max() < 1.0


def test_bursts_of_lateness_move_nothing():
    link = Link(1000.0, 10)
    position, arrived_ns = link.chunks(90.0, np.random.default_rng(2))
    late = np.random.default_rng(3).random(len(arrived_ns)) < 0.02
    arrived_ns = np.maximum.accumulate(arrived_ns + late * 150 * MS)
    t_ns = np.concatenate(list(stamped(counter(), position, arrived_ns, 50)))
    assert np.abs(t_ns - link.taken_ns(position.reshape(-1)))[60_000:].max() < MS


def test_one_call_over_many_chunks_equals_many_calls():
    position, arrived_ns = Link(1000.0, 10, drift_ppm=3_000.0).chunks(20.0, np.random.default_rng(4))
    times = [np.concatenate(list(stamped(counter(), position, arrived_ns, calls))) for calls in (1, 7, len(position))]
    assert times[0].tolist() == times[1].tolist() == times[2].tolist()


def test_a_backlog_that_drains_is_stamped_by_when_it_was_taken():
    """The broker was away for ten seconds; then everything came at once."""
    link = Link(100.0, 1, jitter_ms=1.0)
    position, arrived_ns = link.chunks(60.0, np.random.default_rng(5))
    arrived_ns[3000:4000] = arrived_ns[4000] - np.arange(1000, 0, -1) * 100_000
    clock = counter(100.0)
    t_ns = np.concatenate(list(stamped(clock, position, arrived_ns, 60)))
    assert np.abs(t_ns - link.taken_ns(position.reshape(-1)))[1000:].max() < MS
    assert clock.reanchored == 0


def test_a_backlog_at_the_start_is_never_far_ahead_of_its_arrival_and_never_runs_backwards():
    """A broker kept the last hour for this session: the first arrivals say nothing of when the samples were taken."""
    link = Link(10.0, 1, jitter_ms=1.0)
    position, arrived_ns = link.chunks(3_700.0, np.random.default_rng(6))
    arrived_ns[:36_000] = arrived_ns[36_000] - np.arange(36_000, 0, -1) * 50_000
    clock = counter(10.0)
    t_ns = np.concatenate(list(stamped(clock, position, arrived_ns, 300)))
    assert (np.diff(t_ns) > 0).all()
    assert (t_ns - arrived_ns).max() <= 250 * MS
    assert np.abs(t_ns - link.taken_ns(position.reshape(-1)))[36_600:].max() < 10 * MS
    assert clock.reanchored == 1


def test_a_device_that_paused_is_followed_after_two_seconds():
    link = Link(100.0, 1, jitter_ms=0.0)
    position, arrived_ns = link.chunks(20.0, np.random.default_rng(7))
    arrived_ns[1000:] += 30 * SECOND
    clock = counter(100.0)
    late_ns = arrived_ns - np.concatenate(list(stamped(clock, position, arrived_ns, 20)))
    assert late_ns[1100] == pytest.approx(30 * SECOND, abs=MS)
    assert np.abs(late_ns[1201:]).max() < MS
    assert clock.reanchored == 1


def test_a_counter_that_starts_anew_is_followed_at_once_and_its_drift_stays_known():
    link = Link(100.0, 1, jitter_ms=0.0, drift_ppm=500.0)
    position, arrived_ns = link.chunks(60.0, np.random.default_rng(8))
    arrived_ns[3000:] += 5 * SECOND
    anew = np.zeros(len(position), dtype=bool)
    anew[3000] = True
    clock = counter(100.0)
    t_ns = clock.stamp(position.reshape(-1), arrived_ns, anew)
    assert np.abs(arrived_ns - t_ns)[2000:].max() < MS
    assert clock.line.drift_ppm == pytest.approx(500.0, abs=1.0)


def test_a_reset_without_a_pause_moves_nothing():
    position, arrived_ns = Link(1000.0, 10).chunks(60.0, np.random.default_rng(9))
    anew = np.zeros(position.size, dtype=bool)
    whole = np.repeat(arrived_ns, 10)
    anew[30_000] = True
    t_ns = counter().stamp(position.reshape(-1), whole, anew)
    assert np.abs(np.diff(t_ns) - MS).max() < 0.02 * MS


def test_a_late_sample_gets_a_time_between_its_neighbours():
    clock = counter(100.0)
    clock.stamp(ints([0, 1, 2, 4]), ints([T0, T0 + 10 * MS, T0 + 20 * MS, T0 + 40 * MS]))
    assert clock.stamp(ints([3, 5]), ints([T0 + 50 * MS] * 2)).tolist() == [T0 + 30 * MS, T0 + 50 * MS]


def test_a_host_clock_set_back_is_followed_where_there_is_no_monotonic_one():
    clock = counter(10.0)
    clock.stamp(ints([0, 1]), ints([T0, T0 + 100 * MS]))
    back = T0 - 3_600 * SECOND
    assert clock.stamp(ints([2, 3]), ints([back, back + 100 * MS])).tolist() == [back, back + 100 * MS]


def test_nothing_is_known_of_the_drift_at_first():
    clock = counter(10.0)
    clock.stamp(np.arange(50), T0 + np.arange(50) * 100 * MS)
    assert not clock.line.settled

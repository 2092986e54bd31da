"""The soak's slope: exact on a line, unmoved by outliers, and quick on long series."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.soak.slope import slope
from tests.soak.watch import Reading, usage


def test_a_line_has_its_slope():
    t = np.arange(50.0)
    assert slope(t, 3 + 0.5 * t) == pytest.approx(0.5)


def test_a_few_strange_readings_change_little():
    t = np.arange(200.0)
    values = 100 + 0.01 * t
    values[::10] += 1_000
    assert slope(t, values) == pytest.approx(0.01, rel=0.05)


def test_long_series_are_taken_in_parts():
    t = np.arange(20_000.0)
    assert slope(t, 2 * t + np.random.default_rng(1).standard_normal(len(t))) == pytest.approx(2, rel=1e-3)


def test_noise_alone_has_next_to_no_slope():
    assert abs(slope(np.arange(3_600.0), np.random.default_rng(2).standard_normal(3_600))) < 1e-4


def test_fewer_than_two_readings_have_none():
    assert math.isnan(slope([1.0], [2.0]))


def life(pid: int, start_s: int, growth_bytes: int, fds: int = 40) -> list[Reading]:
    return [Reading(start_s + i, pid, 10**8 + growth_bytes * i, fds, 30, 0.25 * i) for i in range(100)]


def test_only_the_last_life_is_judged_and_only_when_it_is_warm():
    readings = [*life(1, 0, 10**6), *life(2, 100, 2**20)]
    used = usage(readings, 110, 199.5)
    assert used.rss_mib_per_hour == pytest.approx(3_600)
    assert used.watched_s == 89
    assert used.cores == pytest.approx(0.25)
    assert (used.fds, used.threads) == ((40, 40), (30, 30))


def test_a_daemon_that_was_not_seen_cannot_be_judged():
    with pytest.raises(ValueError, match="not seen alive"):
        usage(life(1, 0, 0), 200, 300)

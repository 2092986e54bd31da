"""A day is its intervals: added up once each, told when it is over, kept through restarts, and of one model's scores only."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest

from agent.decide.day import DAY_NS, Day
from agent.decide.kpi import AlarmLoad
from agent.decide.summary import Summary, SummaryReport
from agent.types import NANOSECONDS
from tests.harness.streams import batch, verdict

HOUR_NS = 3_600 * NANOSECONDS
MINUTE_NS = 60 * NANOSECONDS
OF = ["bundle", "b.y"]


class Machine:
    """One channel's summary and its day, fed hour by hour."""

    def __init__(self, interval_ns: int = HOUR_NS, of: list[str] = OF) -> None:
        self.summary = Summary("m", ["b.y"], ["Cel"], {"b": [(0, 0)]}, interval_ns)
        self.day = Day(of)
        self.days: list[SummaryReport] = []

    def see(self, t_ns: int, values: np.ndarray) -> None:
        """One sample a second from `t_ns` on, with a window behind each minute."""
        for minute, part in enumerate(np.split(values.astype(np.float32), range(60, len(values), 60))):
            start_ns = t_ns + minute * MINUTE_NS
            times = (start_ns + np.arange(len(part)) * NANOSECONDS).tolist()
            self.summary.add_samples(batch(times, part[:, None].tolist(), device="b", lost=1))
            self.summary.add_verdict(verdict(start_ns + MINUTE_NS, float(part.max())))
            self.close(self.summary.close_before(start_ns + MINUTE_NS))

    def close(self, report: SummaryReport | None) -> None:
        if report is not None:
            lines = {"b": {"frames": 60, "lost": 0}}
            report = msgspec.structs.replace(report, lines=lines, states={"on": 1.0}, alarms=AlarmLoad().report([]))
            self.days += self.day.take(report, self.summary.latest)


def hours(first: int, count: int, level: float = 230.0) -> np.ndarray:
    return level + np.random.default_rng(first).normal(size=count * 3_600)


def test_a_day_is_told_once_with_the_sums_extremes_moments_and_quantiles_of_all_its_values() -> None:
    machine = Machine()
    values = hours(0, 24)
    machine.see(0, values)
    (day,) = machine.days
    assert (day.period, day.start_ns, day.end_ns) == ("day", 0, DAY_NS)
    (channel,) = day.channels
    found, wanted = channel.values, values.astype(np.float32).astype(np.float64)
    assert (found.n, found.min, found.max) == (86_400, wanted.min(), wanted.max())
    assert found.mean == pytest.approx(wanted.mean(), rel=1e-9)
    assert found.std == pytest.approx(wanted.std(), rel=1e-6)
    quantiles = [found.p05, found.p25, found.p50, found.p75, found.p95, found.p99]
    np.testing.assert_allclose(quantiles, np.quantile(wanted, [0.05, 0.25, 0.5, 0.75, 0.95, 0.99]), atol=0.05)
    assert (channel.lost, day.windows_scored, day.score.n) == (24 * 60, 24 * 60, 24 * 60)
    assert (day.lines, day.states) == ({"b": {"frames": 24 * 60, "lost": 0}}, {"on": 24.0})
    json.loads(msgspec.json.encode(day), parse_constant=pytest.fail)


def test_a_day_that_was_left_midway_is_told_with_the_first_interval_of_another() -> None:
    machine = Machine()
    machine.see(0, hours(0, 3))
    machine.see(3 * DAY_NS + 5 * HOUR_NS, hours(1, 2))
    (day,) = machine.days
    assert (day.start_ns, day.end_ns, day.channels[0].values.n) == (0, 4 * HOUR_NS, 3 * 3_600)


def test_two_days_can_be_over_at_once() -> None:
    machine = Machine(12 * HOUR_NS)
    machine.see(0, hours(0, 13))
    machine.see(3 * DAY_NS + 12 * HOUR_NS, hours(1, 12))
    assert [day.end_ns for day in machine.days] == [24 * HOUR_NS, 4 * DAY_NS]


def test_a_restart_in_the_middle_of_a_day_loses_nothing() -> None:
    whole, first, second = Machine(), Machine(), Machine()
    whole.see(0, np.concatenate([hours(0, 10), hours(10, 14, level=231.0)]))
    first.see(0, hours(0, 10))
    second.day.restore(first.day.snapshot())
    second.see(10 * HOUR_NS, hours(10, 14, level=231.0))
    (wanted,), (found,) = whole.days, second.days
    assert (found.start_ns, found.end_ns) == (0, DAY_NS)
    assert found.channels[0].values.n == wanted.channels[0].values.n
    assert found.channels[0].values.p50 == pytest.approx(wanted.channels[0].values.p50, abs=0.02)
    assert found.windows_scored == wanted.windows_scored


def test_what_another_model_scored_is_not_added_and_what_is_damaged_is_refused() -> None:
    first = Machine()
    first.see(0, hours(0, 3))
    other = Machine(of=["another bundle", "b.y"])
    other.day.restore(first.day.snapshot())
    other.see(3 * HOUR_NS, hours(3, 21))
    assert other.days[0].channels[0].values.n == 21 * 3_600
    snapshot = first.day.snapshot()
    for damaged in (b"rubbish", snapshot[:-20], snapshot.replace(b"bundle", b"bund\xff\xff")):
        with pytest.raises(ValueError, match="cannot be read"):
            Machine().day.restore(damaged)
    assert Day(OF).snapshot() == b""
    Machine().day.restore(b"")


def test_short_intervals_are_not_each_kept_but_a_new_day_is() -> None:
    machine = Machine(MINUTE_NS)
    due = 0
    for minute in range(60):
        machine.see(minute * MINUTE_NS, hours(minute, 1)[:60])
        due += machine.day.is_due()
    assert due == 6
    assert len(machine.day.snapshot()) < 20_000


def test_a_channel_that_is_silent_at_first_has_its_own_resolution_once_it_speaks() -> None:
    machine = Machine()
    machine.see(0, np.full(3_600, np.nan))
    machine.see(HOUR_NS, hours(1, 23))
    found = machine.days[0].channels[0].values
    assert found.n == 23 * 3_600
    assert found.p50 == pytest.approx(230, abs=0.02)

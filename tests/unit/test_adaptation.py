"""Bounded adaptation through a machine's whole decision: it follows the seasons, and never a fault."""

from __future__ import annotations

import numpy as np
import pytest

from agent.decide import peaks
from agent.decide.achieved import FalseAlarms
from agent.decide.adaptation import FULL_NS, HOLD_NS, Adaptation, median
from agent.decide.drift import DriftMonitor
from agent.decide.explanation import unexplained
from agent.decide.isa18 import Behaviour
from agent.decide.lasting import Evidence
from agent.decide.machine_alarms import MachineAlarms
from agent.decide.point import AlarmPoint
from agent.decide.yardstick import Yardstick, cautious
from agent.types import TimeQuality, Verdict, Window
from tests.harness.alarms import point_rules

SECOND = 1_000_000_000
HOP = 60 * SECOND
DAY = 1_440  # windows
BUDGET = 1 / 8_765.82  # so rare that no alarm is expected where nothing is wrong
NOTHING = np.empty((1, 0), np.float32)


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return 10 + rng.normal(size=n)


CALIBRATION = peaks.fit(
    [(normal(np.random.default_rng(0), 60 * DAY).astype(np.float32), (np.arange(60 * DAY) + 1) * HOP)], HOP, HOP
)


class Machine:
    """Windows a minute apart through yardstick and alarms, as the pipeline takes them."""

    def __init__(self, *, adapt: bool = True) -> None:
        self.yardstick = Yardstick(
            overall=CALIBRATION,
            false_alarms=FalseAlarms(BUDGET, HOP, "b"),
            drift=DriftMonitor([], None, CALIBRATION, HOP, "b"),
            hop_ns=HOP,
            adaptation=Adaptation(CALIBRATION, HOP, "b") if adapt else None,
        )
        rules = point_rules(HOP, behaviour=Behaviour(acknowledge=False), budget_per_hour=BUDGET)
        self.alarms = MachineAlarms(AlarmPoint(rules), 10.0, Evidence(CALIBRATION.lasting, BUDGET / 2, HOP))
        self.end_ns = 0
        self.raised = 0

    def see(self, scores: np.ndarray) -> list[bool]:
        """Whether an alarm stands after each window."""
        stands = []
        for score in scores.tolist():
            self.end_ns += HOP
            window = Window("m", self.end_ns - HOP, self.end_ns, NOTHING, None, TimeQuality.DEVICE)
            verdict = Verdict(window, score, NOTHING[:, :0], None)
            (likelihood,) = cautious((CALIBRATION,), [score - self.yardstick.shift])
            changes = self.alarms.judge(verdict, likelihood, unexplained)
            self.raised += sum(change.event is not None and change.event.type == "new" for change in changes)
            self.yardstick.learn(verdict, alarmed=bool(self.alarms.standing))
            stands.append(bool(self.alarms.standing))
        return stands

    @property
    def share(self) -> float:
        return self.yardstick.adaptation.share


def test_a_fault_held_for_a_week_still_alarms_and_nothing_of_it_is_learnt() -> None:
    rng, machine = np.random.default_rng(1), Machine()
    machine.see(normal(rng, DAY))
    before = machine.share
    stands = machine.see(normal(rng, 7 * DAY) + 3)
    assert np.mean(stands) > 0.99
    assert stands[-1]
    assert machine.share == pytest.approx(before, abs=0.02)


def test_a_fault_too_small_for_one_window_is_found_by_lasting_evidence_before_it_is_learnt() -> None:
    rng, machine = np.random.default_rng(2), Machine()
    machine.see(normal(rng, DAY))
    stands = machine.see(normal(rng, 7 * DAY) + 1.5)
    assert stands.index(True) < 60
    assert np.mean(stands[60:]) > 0.99


def test_a_fault_that_comes_and_goes_is_not_learnt_between_its_alarms() -> None:
    rng, machine = np.random.default_rng(3), Machine()
    machine.see(normal(rng, 2 * DAY))
    before = machine.share
    for _ in range(28):
        assert any(machine.see(normal(rng, DAY // 8) + 4))
        machine.see(normal(rng, DAY // 8) + 0.3)
    assert machine.share == pytest.approx(before, abs=0.02)


def test_a_slow_change_within_bounds_raises_nothing_that_it_would_raise_without_adaptation() -> None:
    drift = 0.8 * np.linspace(0, 1, 40 * DAY)
    adapting, fixed = Machine(), Machine(adapt=False)
    stands = adapting.see(normal(np.random.default_rng(4), 40 * DAY) + drift)
    fixed.see(normal(np.random.default_rng(4), 40 * DAY) + drift)
    assert not any(stands)
    assert fixed.raised > 0
    assert 0.5 < adapting.share < 1


def test_a_fault_that_creeps_is_followed_to_the_bound_and_no_further() -> None:
    rng, machine = np.random.default_rng(5), Machine()
    stands = machine.see(normal(rng, 100 * DAY) + np.linspace(0, 4, 100 * DAY))
    assert stands[-1]
    assert machine.share <= 1
    assert machine.yardstick.shift <= (CALIBRATION.threshold - median(CALIBRATION)) / 2


def test_it_moves_by_the_bound_in_two_days_at_most() -> None:
    adaptation = Adaptation(CALIBRATION, HOP, "b")
    for index in range(DAY):
        adaptation.learn(1e9, index * HOP, CALIBRATION)
    assert adaptation.share == pytest.approx(DAY * HOP / FULL_NS)
    for index in range(DAY):
        adaptation.learn(-1e9, index * HOP, CALIBRATION)
    assert adaptation.share == pytest.approx(0, abs=1e-9)


def test_it_stands_still_for_a_day_after_an_alarm_and_outlives_a_restart() -> None:
    adaptation, again = Adaptation(CALIBRATION, HOP, "b"), Adaptation(CALIBRATION, HOP, "b")
    adaptation.learn(99.0, HOP, CALIBRATION)
    adaptation.hold(2 * HOP)
    again.restore(adaptation.snapshot())
    assert again.share == adaptation.share > 0
    again.learn(99.0, 2 * HOP + HOLD_NS - 1, CALIBRATION)
    assert again.share == adaptation.share
    again.learn(99.0, 2 * HOP + HOLD_NS, CALIBRATION)
    assert again.share > adaptation.share
    other = Adaptation(CALIBRATION, HOP, "another")
    other.restore(adaptation.snapshot())
    assert other.share == 0
    with pytest.raises(ValueError, match="cannot be read"):
        other.restore(b"{}")


def test_the_median_is_that_of_the_scores() -> None:
    assert median(CALIBRATION) == pytest.approx(10, abs=0.1)

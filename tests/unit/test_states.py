"""Operating states: told by conditions or found by clustering, and a calibration of their own for each."""

from __future__ import annotations

import numpy as np
import pytest

from agent.decide import by_state
from agent.decide.achieved import FalseAlarms
from agent.decide.calibration import exceedances_per_hour
from agent.decide.drift import DriftMonitor
from agent.decide.expression import Expression
from agent.decide.states import UNKNOWN, by_condition, by_level, cluster
from agent.decide.yardstick import Yardstick

SECOND = 1_000_000_000
HOUR = 3_600 * SECOND
TIME = 8


def levels(rng: np.random.Generator, n: int = 3_000) -> tuple[np.ndarray, np.ndarray]:
    """Off, idle and load, in that order in the first channel, with their noise."""
    which = np.repeat(rng.integers(3, size=n // 20), 20)
    centres = np.array([[0.0, 0.0], [10.0, 3.0], [30.0, 1.0]])
    return centres[which] + rng.normal(size=(n, 2)) * [0.5, 0.1], which


def window(*means: float) -> np.ndarray:
    return np.repeat(np.array(means, np.float32)[:, None], TIME, axis=1)


def test_states_that_are_apart_are_found_with_their_centres() -> None:
    drawn, which = levels(np.random.default_rng(0))
    found = cluster(drawn)
    assert [state.name for state in found.states] == ["state-1", "state-2", "state-3"]
    np.testing.assert_allclose([state.centre for state in found.states], [[0, 0], [10, 3], [30, 1]], atol=0.2)
    told = [by_level(found)(window(*level)) for level in drawn[:500]]
    assert np.mean([name == f"state-{index + 1}" for name, index in zip(told, which[:500], strict=True)]) > 0.98


@pytest.mark.parametrize("law", ["normal", "laplace", "uniform", "walk", "sine"])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_one_cloud_is_one_state(law: str, channels: int) -> None:
    rng = np.random.default_rng(1)
    drawn = {
        "normal": lambda: rng.normal(size=(2_000, channels)),
        "laplace": lambda: rng.laplace(size=(2_000, channels)),
        "uniform": lambda: rng.uniform(size=(2_000, channels)),
        "sine": lambda: np.sin(np.linspace(0, 60, 2_000))[:, None] + 0.05 * rng.normal(size=(2_000, channels)),
        "walk": lambda: np.sin(np.linspace(0, 60, 2_000))[:, None] + rng.normal(size=(2_000, channels)),
    }[law]()
    assert cluster(drawn) is None


def test_what_lasts_for_a_window_or_two_is_no_state() -> None:
    drawn, _ = levels(np.random.default_rng(3))
    assert cluster(drawn[np.random.default_rng(4).permutation(len(drawn))]) is None


def test_what_lies_between_two_states_or_far_from_all_is_in_none() -> None:
    drawn, _ = levels(np.random.default_rng(2))
    state_of = by_level(cluster(drawn))
    assert state_of(window(10, 3)) == "state-2"
    assert state_of(window(20, 2)) is None
    assert state_of(window(90, 2)) is None


def test_a_condition_must_hold_throughout_a_window() -> None:
    names = ["m.speed"]
    state_of = by_condition(
        [("off", Expression("[m.speed] < 10", names)), ("load", Expression("[m.speed] > 50", names))], 1.0
    )
    assert state_of(window(0)) == "off"
    assert state_of(window(60)) == "load"
    assert state_of(window(30)) is None
    running_up = window(0)
    running_up[0, 4:] = 60
    assert state_of(running_up) is None
    missing = window(0)
    missing[0, 0] = np.nan
    assert state_of(missing) is None


def operation(seed: int, hours: int = 20) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Scores every second: under load ten times those of off; between them a transition now and then."""
    rng = np.random.default_rng(seed)
    n = hours * 3_600
    state = np.where(np.arange(n) // 600 % 2 == 0, "off", "load").astype(object)
    state[np.arange(n) % 600 < 5] = None
    score = rng.exponential(size=n) * np.where(state == "load", 10.0, 1.0)
    return (score.astype(np.float32), (np.arange(n) + 1) * SECOND), state


def test_each_state_has_a_calibration_of_its_own() -> None:
    run, states = operation(3)
    found = by_state.fit([run], [states], SECOND, SECOND)
    assert set(found.calibrations) == {"off", "load"}
    (remark,) = found.remarks
    assert remark.startswith("600 of 72000 windows are in no state")
    rate = {name: exceedances_per_hour(each, [8.0])[0] for name, each in found.calibrations.items()}
    assert rate["off"] < 5 < 100 < rate["load"]
    fresh, states = operation(4)
    budget = 2.0
    for name in ("off", "load"):
        of_state = fresh[0][states == name]
        achieved = (exceedances_per_hour(found.calibrations[name], of_state) <= budget).sum() / (len(of_state) / 3_600)
        assert achieved < 1.5 * budget


def test_a_state_with_too_little_data_shares_the_overall_calibration_and_that_is_said() -> None:
    run, states = operation(5)
    states[states == "load"] = "off"
    states[1_000:1_015] = "washing"
    found = by_state.fit([run], [states], SECOND, SECOND)
    assert (set(found.calibrations), found.seen) == ({"off"}, ("off",))
    assert "state 'washing': 15 windows are too few" in found.remarks[0]


def yardstick(seed: int = 6) -> Yardstick:
    run, states = operation(seed)
    fitted = by_state.fit([run], [states], SECOND, SECOND)
    names = ["m.speed"]
    return Yardstick(
        overall=fitted.overall,
        false_alarms=FalseAlarms(1.0, SECOND, "b"),
        drift=DriftMonitor(names, None, fitted.overall, SECOND, "b"),
        hop_ns=HOUR,
        state_of=by_condition(
            [("off", Expression("[m.speed] < 10", names)), ("load", Expression("[m.speed] > 50", names))], 1.0
        ),
        calibrations=fitted.calibrations,
    )


def test_a_window_in_no_state_is_judged_by_whichever_calibration_finds_it_least_strange_and_is_counted() -> None:
    yard = yardstick()
    assert yard.calibrations_of(window(0)) == (yard.calibrations["off"],)
    assert yard.calibrations_of(window(60)) == (yard.calibrations["load"],)
    assert set(map(id, yard.calibrations_of(window(30)))) == {
        id(each) for each in (yard.overall, *yard.calibrations.values())
    }
    assert yard.hours_by_state() == {"load": 1.0, "off": 1.0, UNKNOWN: 1.0}
    assert yard.hours_by_state() == {}
    before = yard.fit.unknown_state
    for _ in range(12):
        yard.calibrations_of(window(30))
    assert before < 0.1 < yard.fit.unknown_state


def test_a_state_that_was_configured_and_never_seen_is_unknown_too() -> None:
    yard = yardstick()
    yard.seen = ("off",)
    yard.calibrations_of(window(60))
    assert yard.hours_by_state() == {UNKNOWN: 1.0}


def test_the_share_of_unknown_states_outlives_a_restart() -> None:
    yard, again = yardstick(), yardstick()
    yard.calibrations_of(window(30))
    again.restore(yard.snapshot())
    assert again.fit == yard.fit
    with pytest.raises(ValueError, match="cannot be read"):
        again.restore(b"{")

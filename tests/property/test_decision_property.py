"""From samples to alarm events, the outcome is the same however the samples were split into batches."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.decide.alarm import MODEL, AlarmEvent
from agent.decide.calibration import Calibration
from agent.decide.explanation import Explainer
from agent.decide.isa18 import Behaviour
from agent.decide.lasting import likelihoods
from agent.decide.machine_alarms import MachineAlarms
from agent.decide.point import AlarmPoint, PointRules
from agent.types import Batch, Verdict
from agent.window.aligner import Aligner
from tests.harness.streams import PERIOD_NS, batch, contract, pieces

CALIBRATION = Calibration(
    threshold=2.0,
    rate_per_hour=1.0,
    shape=0.1,
    scale=0.1,
    body_scores=[0.0, 2.0],
    body_rates=[1e6, 1.0],
    hours=10.0,
    clusters=10,
)
EXPLAINER = Explainer(["a.c0", "a.c1"], ["1", "1"], [0.2, 0.2], None, 1_000.0)


def stream() -> Batch:
    """Normal noise, a fault from sample 400 to 700, and a hole in it."""
    generator = np.random.default_rng(11)
    values = generator.normal(0, 0.2, (1_000, 2))
    values[400:700, 1] += 5.0
    kept = np.r_[0:500, 520:1_000]
    return batch((kept * PERIOD_NS).tolist(), values[kept].tolist())


def events_of(parts: list[Batch]) -> list[AlarmEvent]:
    rules = PointRules(
        machine="m",
        point=MODEL,
        priority="low",
        on_delay_ns=20 * PERIOD_NS,
        off_delay_ns=20 * PERIOD_NS,
        hop_ns=8 * PERIOD_NS,
        behaviour=Behaviour(acknowledge=False),
        budget_per_hour=1e-3,
    )
    aligner = Aligner("m", contract(channels=2, window=16, hop=8), {"a": [(0, 0), (1, 1)]}, 0)
    alarms = MachineAlarms(AlarmPoint(rules), clear_factor=10.0)
    events = []
    for window in (window for part in parts for window in aligner.add(part)):
        channel_score = np.abs(window.values).mean(axis=1)
        seen = Verdict(window, float(channel_score.max()), channel_score, window.unknown)
        (likely,) = likelihoods(CALIBRATION, [seen.score])
        changes = alarms.judge(seen, likely, lambda seen=seen: EXPLAINER.model(seen))
        events += [change.event for change in changes if change.event]
    return events


def test_the_fault_is_raised_marked_unknown_in_the_hole_and_ended() -> None:
    events = events_of([stream()])
    assert [event.type for event in events] == ["new", "update", "end"]
    assert 400 <= events[0].after.raised_ns // PERIOD_NS <= 450
    assert events[0].after.channels[0].channel == "a.c1"
    assert events[1].after.data == "unknown"
    assert 700 <= events[2].after.ended_ns // PERIOD_NS <= 750


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 980), max_size=60))
def test_events_do_not_depend_on_how_samples_were_split(cuts: list[int]) -> None:
    assert events_of(list(pieces(stream(), cuts))) == events_of([stream()])

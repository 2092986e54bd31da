"""A flood passes by event time, and where all devices are silent by the host's clock: what is told then is the same, live and replayed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.decide.explanation import unexplained
from agent.decide.isa18 import State
from agent.decide.lasting import Likelihood
from agent.pipeline.pipeline import Pipeline
from agent.types import NANOSECONDS, Commit
from tests.harness.pipelines import COUNTER, SECOND, pipeline
from tests.harness.streams import batch, verdict

T_NS = 1_790_000_000 * SECOND  # of the flood's first alarm, event time
HOST_NS = 1_800_000_000 * SECOND
OVER_NS = T_NS + (11 - 4) * SECOND + 600 * SECOND  # ten minutes after the fifth last of its alarms


def flooded() -> Pipeline:
    """Eleven alarms of other machines within eleven seconds, then a low one of this, which waits."""
    piped, alarms, _ = pipeline({"counter": COUNTER}, priority="low")
    for number in range(11):
        piped._floods.load.raised("other", f"point{number}", "low", T_NS + number * SECOND)
    alarms.judge(verdict(T_NS + 11 * SECOND, 1.0), Likelihood(1e-12, 0.0), unexplained)
    assert alarms.standing[0].state is State.SUPPRESSED
    assert piped._floods.load.flood
    return piped


def told(commit: Commit) -> list[dict[str, Any]]:
    """The alarm messages, but for what numbers them in one run."""
    bodies = [json.loads(message.payload) for message in commit.messages if message.topic.endswith("/alarm")]
    return [{name: value for name, value in body.items() if name != "seq"} for body in bodies]


def samples_at(t_ns: int) -> Any:
    times = list(range(t_ns, t_ns + SECOND, SECOND // 100))
    return batch(times, [[0.0, 0.0]] * len(times), device="counter")


def test_where_all_devices_are_silent_the_hosts_clock_lifts_a_flood() -> None:
    piped = flooded()
    assert piped.expire(HOST_NS).empty
    wait_ns = OVER_NS - (T_NS + 11 * SECOND)
    assert piped.expire(HOST_NS + wait_ns - 1).empty
    commit = piped.expire(HOST_NS + wait_ns)
    (event,) = told(commit)
    assert (event["type"], event["after"]["state"], event["after"]["raised_ns"]) == (
        "new",
        "unacknowledged",
        T_NS + 11 * SECOND,
    )
    (transition,) = [json.loads(each) for each in commit.journal]
    assert (transition["action"], transition["comment"], transition["time_ns"]) == (
        "unsuppress",
        "the flood is over",
        OVER_NS,
    )
    assert not json.loads(commit.state["alarm-load"])["flood"]
    assert piped.expire(HOST_NS + 2 * wait_ns).empty


@pytest.mark.parametrize("later_s", [700, 100_000])
def test_a_replay_which_has_no_such_clock_tells_the_same_before_the_next_window(later_s: int) -> None:
    live, replayed = flooded(), flooded()
    live.expire(HOST_NS)
    at_once = live.expire(HOST_NS + 700 * NANOSECONDS)
    assert len(told(at_once)) == 1
    samples = samples_at(T_NS + later_s * SECOND)
    after = live.advance([samples])
    later = replayed.advance([samples])
    assert told(later) == told(at_once) + told(after)
    assert later.journal == at_once.journal + after.journal


def test_a_flood_is_over_at_the_same_time_however_often_anybody_looks() -> None:
    often, once = flooded()._floods.load, flooded()._floods.load
    seen = [often.move(T_NS + second * SECOND) for second in range(12, 700)]
    assert [each for each in seen if each is not None] == [once.move(T_NS + 700 * SECOND)] == [OVER_NS]


def test_an_alarm_raised_when_a_flood_could_end_does_not_leave_the_others_waiting() -> None:
    load = flooded()._floods.load
    load.raised("other", "late", "low", OVER_NS + SECOND)
    assert load.flood
    assert load.move(OVER_NS + SECOND) == OVER_NS + SECOND


def test_while_samples_come_the_hosts_clock_lifts_nothing() -> None:
    piped = flooded()
    for second in range(12, 300, 10):
        piped.advance([samples_at(T_NS + second * SECOND)])
        assert piped.expire(HOST_NS + 60 * second * SECOND).empty
    assert piped._floods.load.flood

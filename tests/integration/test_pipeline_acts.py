"""Acts and floods in the pipeline: state, journal, events and the retained list go together in one commit, and survive a restart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.decide.alarm import Act
from agent.decide.day import DAY_NS, Day
from agent.decide.isa18 import Action, RefusedError
from agent.decide.journal import START, seal
from agent.types import Commit
from tests.harness.pipelines import COUNTER, SECOND, pipeline
from tests.harness.streams import batch, pieces

NOW_NS = 1_800_000_000 * SECOND


def act(comment: str, until_ns: int | None = None) -> Act:
    return Act(by="Meier", comment=comment, time_ns=NOW_NS, until_ns=until_ns)


def journal(commit: Commit) -> list[Any]:
    return [json.loads(each)["action"] for each in commit.journal]


def test_an_act_is_one_commit_of_state_journal_and_retained_list() -> None:
    piped, _, _ = pipeline({"counter": COUNTER})
    commit = piped.act("m", "model", Action.SHELVE, act("known", NOW_NS + 60 * SECOND))
    assert journal(commit) == ["shelve"]
    assert "alarm/m" in commit.state
    [retained] = commit.retained
    [hidden] = json.loads(retained.payload)["hidden"]
    assert (hidden["state"], hidden["override"]["by"]) == ("shelved", "Meier")
    assert commit.messages == ()
    with pytest.raises(RefusedError, match="already shelved"):
        piped.act("m", "model", Action.SHELVE, act("again", NOW_NS + 60 * SECOND))


def test_a_shelving_ends_by_the_hosts_clock_after_a_restart_too() -> None:
    piped, _, _ = pipeline({"counter": COUNTER})
    commit = piped.act("m", "model", Action.SHELVE, act("known", NOW_NS + 60 * SECOND))
    again, _, _ = pipeline({"counter": COUNTER})
    again.restore(commit.state)
    assert again.expire(NOW_NS + 59 * SECOND).empty
    over = again.expire(NOW_NS + 60 * SECOND)
    assert journal(over) == ["unshelve"]
    assert json.loads(over.journal[0])["by"] == "stethos"
    assert json.loads(over.retained[0].payload)["hidden"] == []


def test_records_are_as_small_as_the_room_that_is_kept_for_them() -> None:
    piped, _, _ = pipeline({"counter": COUNTER})
    commit = piped.act("m", "model", Action.SHELVE, act("known since Monday", NOW_NS + 60 * SECOND))
    sealed = seal(commit.journal[0], START, NOW_NS)
    assert len(sealed.record) + len(sealed.hash) < 512


def test_a_day_goes_on_where_a_stop_left_it_and_is_told_on_a_topic_of_its_own() -> None:
    def run(first_s: int, last_s: int, state: dict[str, bytes]) -> list[Commit]:
        piped, _, _ = pipeline({"counter": COUNTER})
        piped.machines["m"].day = Day(["fake"])
        piped.restore(state)
        times = [second * SECOND + part * SECOND // 100 for second in range(first_s, last_s) for part in range(100)]
        samples = batch(times, [[0.0, 1.0]] * len(times), device="counter")
        return [*(piped.advance([each]) for each in pieces(samples, range(100, len(samples), 100))), piped.finish()]

    midnight_s = DAY_NS // SECOND * 20_000
    before = run(midnight_s - 40, midnight_s - 20, {})
    after = run(midnight_s - 20, midnight_s + 20, {"day/m": before[-1].state["day/m"]})
    summaries = [json.loads(each.payload) for commit in before + after for each in commit.messages]
    (day,) = [each for each in summaries if each["period"] == "day"]
    assert [each.topic for commit in after for each in commit.messages if each.topic.endswith("day")] == [
        "stethos/box/machine/m/summary/day"
    ]
    assert (day["start_ns"], day["end_ns"]) == ((midnight_s - 40) * SECOND, midnight_s * SECOND)
    assert [channel["values"]["n"] for channel in day["channels"]] == [4_000, 4_000]


def test_a_day_that_cannot_be_read_begins_anew_and_is_counted() -> None:
    piped, _, _ = pipeline({"counter": COUNTER})
    piped.machines["m"].day = Day(["fake"])
    piped.restore({"day/m": b"rubbish", "alarm-load": b"rubbish", "fit/m": b"rubbish", "alarm/m": b"rubbish"})
    assert piped.counters["snapshots_refused"] == 4

"""Acts and floods in the pipeline: state, journal, events and the retained list go together in one commit, and survive a restart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.decide.alarm import Act
from agent.decide.isa18 import Action, RefusedError
from agent.decide.journal import START, seal
from agent.types import Commit
from tests.harness.pipelines import COUNTER, SECOND, pipeline

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

"""A slot passes everything on, and changes what stands in it without disturbing a run."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from agent.infer.placement import Placement
from agent.infer.scorer import FakeScorer
from agent.infer.slot import ScorerSlot
from tests.harness.engines import FakeLoaded

WINDOWS = np.ones((2, 3, 8), np.float32)


def test_everything_asked_of_the_slot_is_answered_by_what_stands_in_it() -> None:
    loaded = FakeLoaded("CUDAExecutionProvider", degraded="why", counters={"crashes": 3}, failure="gone")
    slot = ScorerSlot(loaded)
    score, channel_score = slot.score(WINDOWS)
    expected = FakeScorer(3, 8).score(WINDOWS)
    np.testing.assert_array_equal(score, expected[0])
    np.testing.assert_array_equal(channel_score, expected[1])
    assert (slot.provider, slot.degraded, slot.variant) == ("CUDAExecutionProvider", "why", "fp32")
    assert (slot.failure, slot.counters, slot.placement, slot.latency) == (
        "gone",
        {"crashes": 3},
        Placement({}, {}),
        None,
    )
    slot.close()
    assert loaded.closed


def test_the_next_run_begins_on_the_new_one() -> None:
    old, new = FakeLoaded("old"), FakeLoaded("new")
    slot = ScorerSlot(old)
    assert slot.replace(new) is old
    slot.score(WINDOWS)
    assert (old.runs, new.runs, slot.provider) == (0, 1, "new")


def test_an_engine_does_not_take_the_place_of_a_bundle_that_has_come_meanwhile() -> None:
    old, newer, engine = FakeLoaded("old"), FakeLoaded("newer"), FakeLoaded("engine")
    slot = ScorerSlot(old)
    slot.replace(newer)
    assert not slot.exchange(old, engine)
    assert slot.current is newer
    assert slot.exchange(newer, engine)
    assert slot.current is engine


def test_a_run_that_has_begun_ends_on_the_old_one_and_keeps_its_deadline() -> None:
    old, new = FakeLoaded("old", holds=True), FakeLoaded("new")
    slot = ScorerSlot(old)
    runner = threading.Thread(target=slot.score, args=(WINDOWS,))
    runner.start()
    assert old.begun.wait(30)
    slot.replace(new)
    assert slot.busy(old)
    slot.enforce_deadline(1)
    assert (old.enforced, new.enforced) == (1, 0)
    old.go_on.set()
    runner.join(30)
    assert not slot.busy(old)
    slot.enforce_deadline(2)
    assert (old.enforced, new.enforced) == (1, 1)


def test_a_run_that_fails_leaves_the_slot_free() -> None:
    class Failing(FakeLoaded):
        def score(self, windows: Any) -> Any:
            raise RuntimeError("a defect")

    loaded = Failing("p")
    slot = ScorerSlot(loaded)
    with pytest.raises(RuntimeError, match="a defect"):
        slot.score(WINDOWS)
    assert not slot.busy(loaded)

"""The sequence counter: loss, repeats, resets and wraps, however the samples are split into calls."""

import numpy as np
import pytest

from agent.decode.sequence import SequenceTracker

CASES = {
    "in order": ([7, 8, 9], [7, 8, 9], 0, 0, 0),
    "a wrap is no loss": ([254, 255, 0, 1], [254, 255, 0, 1], 0, 0, 0),
    "loss": ([1, 2, 5, 6], [1, 2, 5, 6], 2, 0, 0),
    "loss across the wrap": ([254, 2], [254, 2], 3, 0, 0),
    "a repeat": ([1, 2, 2, 3], [1, 2, 3], 0, 1, 0),
    "several sent again": ([5, 6, 7, 6, 7, 8], [5, 6, 7, 8], 0, 2, 0),
    "sent again across the wrap": ([254, 255, 0, 255, 0, 1], [254, 255, 0, 1], 0, 2, 0),
    "a reset": ([100, 101, 0, 1], [100, 101, 0, 1], 0, 0, 1),
    "loss after a reset": ([100, 0, 3], [100, 0, 3], 2, 0, 1),
}


def tracked(tracker, counters, step):
    """The counters that were kept, and what was judged of each part of `step` of them."""
    parts = [np.array(counters[i : i + step]) for i in range(0, len(counters), step)]
    judged = [tracker.track(part) for part in parts]
    return [c for part, j in zip(parts, judged, strict=True) for c in part[j.fresh].tolist()], judged


@pytest.mark.parametrize(("counters", "kept", "lost", "repeated", "resets"), CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("step", [1, 2, 100])
def test_counts(counters, kept, lost, repeated, resets, step):
    found, judged = tracked(SequenceTracker(1 << 8), counters, step)
    assert found == kept
    assert sum(j.lost for j in judged) == lost
    assert sum(j.repeated for j in judged) == repeated
    assert sum(j.resets for j in judged) == resets


def test_positions_count_on_through_wraps():
    tracker = SequenceTracker(1 << 16)
    counters = np.arange(200_000) % 65_536
    judged = tracker.track(counters)
    assert judged.fresh.all()
    assert judged.position.tolist() == list(range(200_000))


def test_no_samples_change_nothing():
    tracker = SequenceTracker(1 << 8)
    tracker.track(np.array([3]))
    assert tracker.track(np.array([], dtype=np.int64)).lost == 0
    assert tracker.track(np.array([5])).lost == 1


LATE_CASES = {
    "one overtaken": ([1, 2, 4, 3, 5], [1, 2, 4, 3, 5], 0, 0, 1),
    "overtaken across the wrap": ([254, 0, 255, 1], [254, 0, 255, 1], 0, 0, 1),
    "taken once": ([1, 3, 2, 2, 4], [1, 3, 2, 4], 0, 1, 1),
    "a repeat fills no gap": ([1, 2, 4, 2, 5, 6, 7, 8, 9], [1, 2, 4, 5, 6, 7, 8, 9], 1, 1, 0),
    "too late is a repeat of what was lost": ([1, 3, 4, 5, 6, 7, 8, 2, 9], [1, 3, 4, 5, 6, 7, 8, 9], 1, 1, 0),
    "a gap longer than the bound": ([1, 20, 16, 15], [1, 20, 16], 14, 1, 1),
    "the oldest of a gap": ([1, 7, 3, 2], [1, 7, 3], 1, 1, 1),
    "turned round": ([1, 5, 4, 3, 2, 6], [1, 5, 4, 3, 2, 6], 0, 0, 3),
    "a reset": ([100, 102, 0, 1, 2, 3, 4, 5, 6], [100, 102, 0, 1, 2, 3, 4, 5, 6], 1, 0, 0),
}


@pytest.mark.parametrize(("counters", "kept", "lost", "repeated", "late"), LATE_CASES.values(), ids=LATE_CASES.keys())
@pytest.mark.parametrize("step", [1, 2, 100])
def test_a_late_sample_is_taken_once_and_called_lost_only_when_it_is_too_late(
    counters, kept, lost, repeated, late, step
):
    found, judged = tracked(SequenceTracker(1 << 8, max_late=4), counters, step)
    assert found == kept
    assert sum(j.lost for j in judged) == lost
    assert sum(j.repeated for j in judged) == repeated
    assert sum(j.late for j in judged) == late


def test_late_samples_have_the_positions_that_they_left_empty():
    judged = SequenceTracker(1 << 8, max_late=4).track(np.array([250, 251, 253, 252, 255, 0, 254]))
    assert judged.position.tolist() == [0, 1, 3, 2, 5, 6, 4]
    assert judged.lost == 0

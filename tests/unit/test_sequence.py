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


@pytest.mark.parametrize(("counters", "kept", "lost", "repeated", "resets"), CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("step", [1, 2, 100])
def test_counts(counters, kept, lost, repeated, resets, step):
    tracker = SequenceTracker(8)
    parts = [np.array(counters[i : i + step]) for i in range(0, len(counters), step)]
    judged = [tracker.track(part) for part in parts]
    assert [c for part, j in zip(parts, judged, strict=True) for c in part[j.fresh].tolist()] == kept
    assert sum(j.lost for j in judged) == lost
    assert sum(j.repeated for j in judged) == repeated
    assert sum(j.resets for j in judged) == resets


def test_positions_count_on_through_wraps():
    tracker = SequenceTracker(16)
    counters = np.arange(200_000) % 65_536
    judged = tracker.track(counters)
    assert judged.fresh.all()
    assert judged.position.tolist() == list(range(200_000))


def test_no_samples_change_nothing():
    tracker = SequenceTracker(8)
    tracker.track(np.array([3]))
    assert tracker.track(np.array([], dtype=np.int64)).lost == 0
    assert tracker.track(np.array([5])).lost == 1

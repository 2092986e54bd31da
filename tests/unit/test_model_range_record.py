"""The family `range-record` on windows whose places in their range are known."""

from __future__ import annotations

import numpy as np
import torch

from export import parity, to_onnx
from export.models.family import Shape
from export.models.range_record import FAMILY, RangeRecord
from export.train import run_model

WINDOW = 64
NEWEST = 4 / WINDOW


def fitted(history: str, channels: int = 1, newest: float = NEWEST) -> RangeRecord:
    model = FAMILY.new(Shape(channels, WINDOW, 1.0), {"history": history, "newest": newest})
    assert isinstance(model, RangeRecord)
    windows = torch.from_numpy(noise(channels))
    model.fit_input(windows)
    model.fit_score(windows, torch.zeros(len(windows), dtype=torch.int64))
    return model


def noise(channels: int, n: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, channels, WINDOW)).astype(np.float32)


def swinging(size: float, last: float) -> np.ndarray:
    """[1, 1, WINDOW] that goes up and down between -size and size and ends at `last`."""
    window = np.tile(np.array([-size, size], np.float32), WINDOW // 2)
    window[-1] = last
    return window[None, None]


def score(model: RangeRecord, window: np.ndarray) -> float:
    return float(run_model(model, window)[0][0])


def test_with_the_newest_cell_alone_the_score_is_its_place_in_the_range() -> None:
    model = fitted("window", newest=1 / WINDOW)
    both = 2 ** (1 / 8)  # reading and mean are the same
    for last, place in ((3.0, 1.0), (-3.3, 1.1), (30.0, 10.0), (1.5, 0.5)):
        np.testing.assert_allclose(score(model, swinging(3.0, last)), both * place, rtol=0.02)


def test_a_range_narrower_than_half_a_deviation_counts_as_so_wide() -> None:
    model = fitted("window", newest=1 / WINDOW)
    np.testing.assert_allclose(score(model, swinging(0.001, 1.0)), 2 ** (1 / 8) * 2, rtol=0.05)


def test_readings_within_their_range_whose_mean_is_not_are_seen() -> None:
    usual, twice_above = swinging(3.0, 3.0), swinging(-3.0, 3.0)
    assert score(fitted("window"), twice_above) > 2 > score(fitted("window"), usual)


def test_a_standing_offset_is_strange_to_training_and_not_to_the_window() -> None:
    moved = noise(1, n=50, seed=1) + np.float32(10)
    for history, strange in (("training", True), ("window", False)):
        model = fitted(history)
        usual, _ = run_model(model, noise(1, n=50, seed=1))
        there, _ = run_model(model, moved)
        assert (there.min() > usual.max()) == strange


def test_the_channel_that_left_its_range_has_the_score() -> None:
    model = fitted("window", channels=3)
    windows = noise(3, n=1, seed=2)
    windows[0, 1, -1] = 20
    total, channels = run_model(model, windows)
    assert channels[0].argmax() == 1
    assert total[0] >= channels[0].max() > 3 * np.delete(channels[0], 1).max()


def test_its_graph_agrees_where_only_the_window_counts() -> None:
    model = fitted("window", channels=3)
    data = to_onnx.convert(model, 3, WINDOW).data
    assert parity.check(model, data, noise(3, n=20, seed=3)) <= parity.RELATIVE

"""The family `window-density` where its formula can be checked by hand: evidence of wandering channels, and wander shared by runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from export.models.family import Shape, Value
from export.models.window_density import FAMILY, WindowDensity, share_wander
from export.train import run_model

WINDOW = 20


def fitted(values: np.ndarray, **options: Value) -> WindowDensity:
    """Fitted on all windows of rows [n, channels]."""
    model = FAMILY.new(Shape(values.shape[1], WINDOW, 1.0), options)
    assert isinstance(model, WindowDensity)
    windows = torch.from_numpy(windows_of(values))
    model.fit_input(windows)
    model.fit_score(windows, torch.zeros(len(windows), dtype=torch.int64))
    return model


def windows_of(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(values.astype(np.float32), WINDOW, axis=0))


def noise(rows: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, channels))


def test_white_noise_does_not_wander_and_a_drift_does() -> None:
    values = noise(2_000)
    values[:, 1] += np.linspace(0, 20, len(values))
    wander = fitted(values).wander[:, 0, 1]
    assert wander[0] == pytest.approx(1, abs=0.3)
    assert wander[1] > 10


def test_the_same_step_is_stranger_in_a_channel_that_does_not_wander() -> None:
    values = noise(2_000)
    values[:, 1] += 5 * np.sin(np.arange(len(values)) / 200)
    model = fitted(values)
    strange = np.repeat(windows_of(values)[:1], 2, axis=0)
    strange[0, 0] += 8
    strange[1, 1] += 8
    score, channels = run_model(model, strange)
    assert score[0] > 2 * score[1]
    assert channels[0].argmax() == 0


def test_a_level_between_two_training_levels_is_stranger_than_either() -> None:
    values = noise(2_000, channels=1)
    values[1_000:] += 30
    low, high, between = (windows_of(np.full((WINDOW, 1), level) + noise(WINDOW, 1, seed=1)) for level in (0, 30, 15))
    score, _ = run_model(fitted(values), np.concatenate([low, high, between]))
    assert score[2] > max(score[0], score[1])


def test_what_a_sensor_may_be_wrong_by_is_no_evidence() -> None:
    values = 100 + 0.01 * noise(1_000, channels=1)
    shifted = windows_of(values)[:1] + 0.5
    exact, rough = (run_model(fitted(values, accuracy=accuracy), shifted)[0][0] for accuracy in (0.0, 0.01))
    assert exact > 5 * rough


def test_runs_at_the_same_level_share_how_far_they_wander_and_others_do_not() -> None:
    calm, restless, elsewhere = noise(600, 1), noise(600, 1, seed=1), 1_000 + noise(600, 1, seed=2)
    restless += 10 * np.sin(np.arange(600) / 100)[:, None]
    models = [fitted(values) for values in (calm, restless, elsewhere)]
    before = [float(model.wander[0, 0, 1]) for model in models]
    share_wander(models, 2)
    after = [float(model.wander[0, 0, 1]) for model in models]
    typical = (before[0] + before[1]) / 2
    assert after[0] == pytest.approx(((before[0] ** 2 + typical**2) / 2) ** 0.5)
    assert after[0] > before[0]
    assert after[1] < before[1]
    share_wander(models[2:], 2)
    assert float(models[2].wander[0, 0, 1]) == pytest.approx(after[2])

"""The family `mixture` on a machine with two operating states."""

from __future__ import annotations

import numpy as np
import torch

from export.models.family import Shape, Value
from export.models.mixture import FAMILY, Mixture
from export.train import run_model

WINDOW = 50


def windows(level: float, size: float, n: int = 300, seed: int = 0) -> np.ndarray:
    """[n, 2, WINDOW] of noise; the second channel is as loud as the first, give or take a tenth."""
    rng = np.random.default_rng(seed)
    louder = size * np.exp(0.1 * rng.normal(size=(n, 1, 1)))
    return (level + louder * rng.normal(size=(n, 2, WINDOW))).astype(np.float32)


def fitted(parts: list[np.ndarray], **options: Value) -> Mixture:
    model = FAMILY.new(Shape(2, WINDOW, 1.0), options)
    assert isinstance(model, Mixture)
    both = torch.from_numpy(np.concatenate(parts))
    model.fit_input(both)
    model.fit_score(both, torch.zeros(len(both), dtype=torch.int64))
    return model


SLOW, FAST = windows(0, 1), windows(50, 20, seed=1)
BETWEEN = 25, 4.5  # half way in level and in the logarithm of size


def test_what_is_normal_in_no_state_is_strange_though_it_lies_between_them() -> None:
    model = fitted([SLOW, FAST], states=2)
    usual = np.concatenate([run_model(model, part)[0] for part in (windows(0, 1, seed=2), windows(50, 20, seed=3))])
    between, _ = run_model(model, windows(*BETWEEN, seed=4))
    assert between.min() > np.quantile(usual, 0.99)


def test_one_state_alone_does_not_see_it() -> None:
    strange = windows(*BETWEEN, seed=4)
    share = []
    for states in (1, 2):
        model = fitted([SLOW, FAST], states=states)
        usual = np.concatenate([run_model(model, part)[0] for part in (SLOW, FAST)])
        share.append(float((run_model(model, strange)[0] > np.quantile(usual, 0.99)).mean()))
    assert share[0] < share[1]


def test_more_states_than_there_are_windows_of_a_kind_do_no_harm() -> None:
    model = fitted([SLOW[:30]], states=16)
    score, channels = run_model(model, windows(0, 1, seed=5))
    assert np.isfinite(score).all()
    assert (score >= 0).all()
    assert np.isfinite(channels).all()


def test_without_the_level_a_sensor_mounted_anew_is_not_strange() -> None:
    model = fitted([SLOW, FAST], states=2, features="spread+roughness")
    here, _ = run_model(model, SLOW)
    moved, _ = run_model(model, SLOW + np.float32(7))
    np.testing.assert_allclose(moved, here, rtol=0.05, atol=0.05)

"""The family `vector-autoregression` against processes whose law is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from export.models.family import Shape
from export.models.vector_autoregression import FAMILY, VectorAutoregression
from export.train import run_model

LAW = np.array([[0.6, 0.3], [-0.2, 0.5]])
WINDOW = 30


def process(rows: int, law: np.ndarray, seed: int = 0, size: float = 1.0) -> np.ndarray:
    """Rows of z_t = law z_{t-1} + noise."""
    shocks = size * np.random.default_rng(seed).normal(size=(rows, 2))
    values = np.zeros((rows, 2))
    for row in range(1, rows):
        values[row] = law @ values[row - 1] + shocks[row]
    return values


def windows_of(values: np.ndarray, hop: int = 1) -> np.ndarray:
    cut = np.lib.stride_tricks.sliding_window_view(values.astype(np.float32), WINDOW, axis=0)
    return np.ascontiguousarray(cut[::hop])


def fitted(windows: np.ndarray, order: int = 1) -> VectorAutoregression:
    model = FAMILY.new(Shape(2, WINDOW, 1.0), {"order": order, "ridge": 1.0})
    assert isinstance(model, VectorAutoregression)
    model.fit_input(torch.from_numpy(windows))
    model.fit_score(torch.from_numpy(windows), torch.zeros(len(windows), dtype=torch.int64))
    return model


def test_it_finds_the_law_of_the_process() -> None:
    model = fitted(windows_of(process(5_000, LAW)))
    units = model.std[:, 0].double().numpy()
    found = model.ahead[0].double().numpy() * units[:, None] / units
    np.testing.assert_allclose(found, LAW, atol=0.05)


def test_overlap_of_windows_changes_nothing() -> None:
    values = process(30 * 60, LAW)
    apart, overlapping = fitted(windows_of(values, hop=1)), fitted(windows_of(values, hop=3))
    torch.testing.assert_close(apart.errors.root, overlapping.errors.root, atol=0.03, rtol=0.03)


def test_unseen_normal_windows_score_near_one_though_few_rows_were_there_to_learn_from() -> None:
    unseen = windows_of(process(2_000, LAW, seed=100), hop=WINDOW)
    models = [fitted(windows_of(process(50, LAW, seed=seed)), order=5) for seed in range(10)]
    scores = [run_model(model, unseen)[0].mean() for model in models]
    assert 1 < np.mean(scores) < 1.5  # measured by the errors of rows that the forecast was fitted to it would be 2.1


@pytest.mark.parametrize("law", [-LAW, np.zeros((2, 2))], ids=["other sign", "no memory"])
def test_another_law_is_strange_even_where_no_value_is(law: np.ndarray) -> None:
    model = fitted(windows_of(process(3_000, LAW)))
    usual, _ = run_model(model, windows_of(process(1_000, LAW, seed=2)))
    strange = process(1_000, law, seed=3)
    strange *= process(3_000, LAW).std(0) / strange.std(0)
    score, _ = run_model(model, windows_of(strange))
    assert np.median(score) > np.quantile(usual, 0.9)

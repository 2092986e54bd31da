"""Small images as windows: how they arrive from an archive, and that a strange one is found and its rows are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from agent.types import Float32Array
from export import data, train
from export import dataset as datasets
from export.models.detector import Detector
from export.windows import Windows, cut
from tests.harness.training import contract, silently

SIDE = 8


def zeros_and_others() -> tuple[Float32Array, Float32Array]:
    """Handwritten digits [n, rows, columns] as scikit-learn ships them: those that are 0, and the other ones."""
    digits = load_digits()
    images = digits.images.astype(np.float32)
    return images[digits.target == 0], images[digits.target != 0]


@pytest.fixture(scope="module")
def model() -> Detector:
    zeros, _ = zeros_and_others()
    end_ns = (np.arange(len(zeros)) + 1) * SIDE * 1_000_000_000
    run = Windows("zeros", zeros, end_ns, None, 0).part(slice(None, 120))
    return train.fit([run], contract(SIDE, SIDE), train.Plan("image-cnn", 0, 40), silently).model


def test_other_digits_are_strange_to_a_model_of_zeros(model: Detector) -> None:
    zeros, others = zeros_and_others()
    unseen = zeros[120:]
    score, _ = train.run_model(model, np.concatenate([unseen, others]))
    assert roc_auc_score(np.repeat([0, 1], [len(unseen), len(others)]), score) > 0.97


def test_a_bar_across_an_image_is_put_down_to_its_rows(model: Detector) -> None:
    zeros, _ = zeros_and_others()
    _, usual = train.run_model(model, zeros[120:])
    for row in (2, 4, 6):
        broken = zeros[120:].copy()
        broken[:, row] = 16.0
        _, channel_score = train.run_model(model, broken)
        assert ((channel_score / np.median(usual, axis=0)).argmax(1) == row).mean() > 0.8


def test_images_arrive_from_an_archive_one_a_window(tmp_path: Path) -> None:
    images = np.random.default_rng(0).normal(size=(7, 5, 6)).astype(np.float32)  # frames, rows, columns
    np.savez(tmp_path / "frames.npz", frames=images.transpose(0, 2, 1))
    rows = "\n".join(f'[[channel]]\nname = "row{row}"\nunit = "Cel"' for row in range(5))
    text = f'name = "camera"\nrate_hz = 60.0\n{rows}\n[[run]]\nfile = "frames.npz"\nrole = "train"\n'
    (tmp_path / "camera.toml").write_text(text)
    source = datasets.load(tmp_path / "camera.toml")
    (run,) = data.read(source).runs
    windows = cut(run, source.dataset.contract(window=6, hop=6))
    np.testing.assert_array_equal(windows.values, images)

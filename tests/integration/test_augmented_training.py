"""Training on augmented windows: repeatable, resumable, recorded, and refused where it would do nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import Result

from export.augment import AUGMENTATIONS
from export.checkpoint import Checkpoint
from export.train import Plan, fit
from tests.harness.command_line import stethos
from tests.harness.datasets import write_dataset
from tests.harness.training import contract, normal, silently, with_faults

PLAN = Plan("dense-autoencoder", 0, 4, augment=("jitter", "scale", "mix"))


def weights(plan: Plan, checkpoint: Checkpoint | None = None, report=silently) -> dict[str, torch.Tensor]:
    return fit([normal(3, 16)], contract(3, 16), plan, report, checkpoint=checkpoint).model.state_dict()


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_augmentation_leads_to_other_weights_and_to_the_same_ones_again(name: str) -> None:
    plan = Plan("dense-autoencoder", 0, 2, augment=(name,))
    assert same(weights(plan), weights(plan))
    assert not same(weights(plan), weights(Plan("dense-autoencoder", 0, 2)))


def test_validation_sees_windows_as_they_are() -> None:
    """The first epoch's weights differ, but the mean and deviation that they are judged by do not."""
    plain, augmented = (weights(Plan("dense-autoencoder", 0, 1, augment=names)) for names in ((), ("warp",)))
    assert torch.equal(plain["mean"], augmented["mean"])
    assert torch.equal(plain["std"], augmented["std"])


def test_augmented_training_that_was_cut_off_ends_in_the_same_weights(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path / "checkpoint.pt", {})

    def cut_off(epoch: int, *_: float) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weights(PLAN, kept, cut_off)
    torch.manual_seed(99)  # another process starts with other random numbers
    assert same(weights(PLAN, kept), weights(PLAN))


def test_labels_stay_with_their_windows() -> None:
    run = with_faults(normal(3, 16))
    plan = Plan("mlp-classifier", 0, 2, augment=tuple(AUGMENTATIONS))
    model = fit([run], contract(3, 16), plan, silently).model
    with torch.inference_mode():
        score, _ = model(torch.from_numpy(run.values))
    faulty = torch.from_numpy(run.labels != 0)
    assert score[faulty].min() > score[~faulty].max()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_dataset(tmp_path)
    return tmp_path


def train(folder: Path, family: str, augment: str, *more: str) -> Result:
    options = ("--window", 16, "--hop", 4, "--epochs", 1, "--out", folder / "run", *more)
    return stethos("model", "train", folder / "pump.toml", "--model", family, "--augment", augment, *options)


def test_the_record_says_how_windows_were_altered(folder: Path) -> None:
    trained = train(folder, "dense-autoencoder", "jitter, scale")
    assert trained.exit_code == 0, trained.output
    record = json.loads((folder / "run" / "run.json").read_text())
    assert record["training"]["augment"] == "jitter,scale"


@pytest.mark.parametrize(
    ("family", "augment", "said"),
    [("pca", "jitter", "not by gradient steps"), ("dense-autoencoder", "jiter", "did you mean 'jitter'")],
)
def test_what_would_do_nothing_is_refused(folder: Path, family: str, augment: str, said: str) -> None:
    refused = train(folder, family, augment)
    assert refused.exit_code == 2
    assert said in refused.output

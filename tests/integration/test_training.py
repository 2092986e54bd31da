"""The fit itself: splits by time, seeds, early stopping, checkpoints, labels, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from agent.errors import ConfigError
from export import checkpoint, devices, models, options, train
from export.checkpoint import Checkpoint
from export.distributed import ALONE
from export.models import FAMILIES
from export.models.detector import Detector, whitening
from export.models.family import Family, Option
from export.models.pca import q_limit
from export.windows import Windows
from tests.harness.training import contract, fit, normal, silently, with_faults

CONV = train.Plan("conv-autoencoder", 0, 3)


class Classifier(Detector):
    """The least that learns from labels: one weight a channel; it keeps what it was shown."""

    shown: list[tuple[int, int]]

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.line = torch.nn.Linear(channels, 1)
        self.shown = []

    def loss(self, windows: Tensor, labels: Tensor) -> Tensor:
        self.shown.append((int((labels == 0).sum()), int((labels != 0).sum())))
        odds = self.line(self.normalise(windows).mean(2))[:, 0]
        return torch.nn.functional.binary_cross_entropy_with_logits(odds, (labels != 0).float())

    def fit_score(self, windows: Tensor, labels: Tensor) -> None:
        pass

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        z = self.normalise(window).mean(2)
        return self.line(z)[:, 0], z


@pytest.fixture
def classifier(monkeypatch: pytest.MonkeyPatch) -> train.Plan:
    family = Family("classifier", lambda shape: Classifier(shape.channels), supervised=True)
    monkeypatch.setattr(train, "registered", lambda _: family)
    return train.Plan("classifier", 0, 3)


def test_another_seed_gives_other_weights() -> None:
    first, second = (fit("conv-autoencoder", normal(3, 16), seed).state_dict() for seed in (0, 1))
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_training_stops_early_and_keeps_the_best_epoch() -> None:
    losses: list[float] = []
    result = train.fit(
        [normal(2, 8, n=40)],
        contract(2, 8),
        replace(CONV, epochs=400),
        lambda epoch, loss, validation: losses.append(validation),
    )
    assert len(losses) == len(result.losses) < 400
    assert result.validation_loss == min(losses)
    assert result.epochs == int(np.argmin(losses)) + 1


def test_windows_of_validation_are_the_latest_and_never_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    monkeypatch.setattr(Detector, "fit_input", lambda model, windows: seen.append(windows))
    run = normal(2, 8, n=50)
    train.fit([run], contract(2, 8), train.Plan("pca", 0, 1), silently)
    np.testing.assert_array_equal(seen[0].numpy(), run.values[:40])


def test_too_few_windows_are_refused() -> None:
    with pytest.raises(ConfigError, match="too few"):
        train.fit([normal(2, 8, n=10)], contract(2, 8), train.Plan("pca", 0, 1), silently)


def test_channels_that_never_move_are_refused_where_there_is_no_other() -> None:
    still = Windows("still", np.ones((60, 2, 8), np.float32), (np.arange(60) + 1) * 8 * 1_000_000_000, None, 0)
    assert train.still_channels([still], contract(2, 8)) == ["c0", "c1"]
    with pytest.raises(ConfigError, match="no channel ever moves"):
        train.fit([still], contract(2, 8), train.Plan("pca", 0, 1), silently)


def test_a_loss_that_leaves_the_numbers_is_an_error_that_says_what_to_try() -> None:
    with pytest.raises(ConfigError, match=r"loss of epoch 1 is no finite number.*learning_rate"):
        train.fit([normal(2, 8)], contract(2, 8), replace(CONV, training={"learning_rate": 1e30}), silently)


def test_training_in_bfloat16_ends_near_that_in_float32() -> None:
    plain = train.fit([normal(3, 16)], contract(3, 16), CONV, silently)
    coarse = train.fit([normal(3, 16)], contract(3, 16), CONV, silently, compute=devices.Compute(bfloat16=True))
    assert coarse.losses != plain.losses
    assert coarse.validation_loss == pytest.approx(plain.validation_loss, rel=0.05)
    assert all(value.dtype != torch.bfloat16 for value in coarse.model.state_dict().values())


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ to compile with")
def test_a_compiled_step_learns_the_same() -> None:
    plan = replace(CONV, epochs=2, options={"noise": 0.0})  # noise is drawn by another generator there
    plain = train.fit([normal(3, 16)], contract(3, 16), plan, silently)
    compiled = train.fit([normal(3, 16)], contract(3, 16), plan, silently, compute=devices.Compute(compiled=True))
    np.testing.assert_allclose(compiled.losses, plain.losses, rtol=1e-3)


def test_without_a_compiler_there_is_no_compiled_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ConfigError, match=r"no C\+\+ compiler"):
        devices.choose(cuda=False, precision="auto", compiled=True, group=ALONE)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU here")
def test_training_on_a_gpu_repeats_itself() -> None:
    for family in sorted(FAMILIES):
        run = with_faults(normal(3, 16)) if models.registered(family).supervised else normal(3, 16)
        for bfloat16 in (False, True):
            compute = devices.Compute(torch.device("cuda", 0), bfloat16=bfloat16)
            plan = train.Plan(family, 0, 2)
            first, second = (
                train.fit([run], contract(3, 16), plan, silently, compute=compute).model.state_dict() for _ in range(2)
            )
            assert all(torch.equal(first[name], second[name]) for name in first), family
            assert all(value.device.type == "cpu" for value in first.values())


def test_every_kind_is_drawn_alike_however_rare(classifier: train.Plan) -> None:
    rare = with_faults(normal(2, 8, n=200))
    kept = np.flatnonzero((rare.labels == 0) | (np.arange(len(rare)) % 15 == 2))
    assert rare.labels is not None
    run = Windows(rare.run, rare.values[kept], rare.end_ns[: len(kept)], rare.labels[kept], 0)
    assert run.labels is not None
    assert run.labels.mean() < 0.1
    model = train.fit([run], contract(2, 8), classifier, silently).model
    steps = [shown for shown in model.shown if 0 not in shown]
    normals, faults = np.sum(steps, axis=0)
    assert faults / (normals + faults) == pytest.approx(0.5, abs=0.05)
    score, _ = train.run_model(model, run.values)
    assert score[run.labels != 0].mean() > score[run.labels == 0].mean()


@pytest.mark.parametrize(("keep", "what"), [(slice(0, 60), "validate on"), (slice(75, None), "train on")])
def test_a_supervised_family_needs_both_kinds_in_both_splits(classifier: train.Plan, keep: slice, what: str) -> None:
    run = with_faults(normal(2, 8))
    assert run.labels is not None
    run.labels[:] = 0
    run.labels[keep] = np.arange(len(run))[keep] % 2
    with pytest.raises(ConfigError, match=f"windows to {what} are all normal"):
        train.fit([run], contract(2, 8), classifier, silently)


def test_a_checkpoint_of_another_training_is_not_gone_on_with(tmp_path: Path) -> None:
    begun = Checkpoint(tmp_path / checkpoint.FILE, {"seed": "0", "model": "pca"})
    train.fit([normal(2, 8)], contract(2, 8), CONV, silently, checkpoint=begun)
    with pytest.raises(ConfigError, match="begun with seed 0, now it is 1"):
        checkpoint.opened(tmp_path, {"seed": "1", "model": "pca"}, resume=True).read()
    with pytest.raises(ConfigError, match=r"unfinished training.*--resume"):
        checkpoint.opened(tmp_path, begun.identity, resume=False)
    with pytest.raises(ConfigError, match="no unfinished training"):
        checkpoint.opened(tmp_path / "elsewhere", begun.identity, resume=True)


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all"])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / checkpoint.FILE).write_bytes(content)
    with pytest.raises(ConfigError, match=r"checkpoint\.pt: is no checkpoint"):
        checkpoint.opened(tmp_path, {}, resume=True).read()


def test_half_a_checkpoint_is_refused(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path / checkpoint.FILE, {})
    kept.write({"losses": [(1.0, 2.0)]})
    assert kept.read() == {"losses": [(1.0, 2.0)]}
    kept.path.write_bytes(kept.path.read_bytes()[:-200])
    with pytest.raises(ConfigError, match="is no checkpoint"):
        kept.read()


def test_options_are_read_by_whose_they_are() -> None:
    chosen = options.read("conv-autoencoder", ["learning_rate=0.01", "latent = 4"])
    assert (chosen.options, chosen.training) == ({"latent": 4}, {"learning_rate": 0.01})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("latent", "is no name=value"),
        ("latnet=4", "did you mean 'latent'"),
        ("latent=four", "'four' is no int"),
        ("latent=4000", "not within 2 to 32"),
        ("learning_rate=nan", "not within"),
    ],
)
def test_an_option_that_cannot_be_is_named_with_its_remedy(text: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        options.read("conv-autoencoder", [text])


def test_all_bad_options_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        options.read("pca", ["depth=3", "depth", "learning_rate=0.1"])
    assert len(refused.value.problems) == 3


def test_options_without_a_range_are_shown_by_their_default() -> None:
    told = [options.describe(each) for each in (Option(3), Option(3, 1, 9), Option("a", choices=("a", "b")))]
    assert told == ["3", "3 in 1..9", "a of a, b"]


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not devices.wants_cuda("auto")
    with pytest.raises(ConfigError, match="sees no GPU"):
        devices.wants_cuda("cuda")


def test_whitened_samples_are_uncorrelated_and_of_unit_variance() -> None:
    samples = torch.from_numpy(np.random.default_rng(5).normal(size=(50_000, 3)) @ np.diag([0.1, 1, 5])).float()
    matrix = whitening(samples)
    covariance = (samples.double() @ matrix).T @ (samples.double() @ matrix) / len(samples)
    torch.testing.assert_close(covariance, torch.eye(3).double(), atol=0.02, rtol=0)


def test_the_limit_of_q_holds_for_gaussian_residuals() -> None:
    variances = torch.linspace(1.5, 0.5, 12)
    samples = np.random.default_rng(6).normal(size=(200_000, 12)) * variances.sqrt().numpy()
    share = float((np.square(samples).sum(axis=1) > q_limit(variances, 0.99)).mean())
    assert share == pytest.approx(0.01, rel=0.2)

"""Every registered model: the promises of its graph, repeatable training, and parity with ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from agent.errors import BundleError, ConfigError
from agent.window.contract import Contract, ContractChannel
from export import parity, to_onnx, train
from export.models import FAMILIES
from export.models.detector import whitening
from export.models.pca import q_limit
from export.windows import Windows

SHAPES = [(1, 4), (3, 13), (8, 32)]


def contract(channels: int, time: int) -> Contract:
    names = [ContractChannel(name=f"c{index}", unit="1") for index in range(channels)]
    return Contract(channels=names, rate_hz=1.0, window=time, hop=time)


def normal(channels: int, time: int, n: int = 60, seed: int = 0) -> Windows:
    """Correlated noise around levels and scales that differ by channel, windows back to back."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 1, time))
    levels, scales = np.linspace(-100, 50, channels), np.geomspace(0.01, 10, channels)
    values = (levels[:, None] + scales[:, None] * (common + 0.3 * rng.normal(size=(n, channels, time)))).astype(
        np.float32
    )
    return Windows("normal", values, (np.arange(n) + 1) * time * 1_000_000_000, None, 0)


def fitted(family: str, channels: int, time: int, seed: int = 0) -> train.Fitted:
    runs = [normal(channels, time)]
    return train.fit(runs, contract(channels, time), family, seed=seed, epochs=2, report=lambda *_: None)


@pytest.fixture(scope="module", params=[(family, shape) for family in sorted(FAMILIES) for shape in SHAPES], ids=str)
def case(request: pytest.FixtureRequest) -> tuple[torch.nn.Module, tuple[int, int]]:
    family, shape = request.param
    return fitted(family, *shape).model, shape


def test_scores_are_finite_for_any_finite_window(case: tuple) -> None:
    model, shape = case
    extremes = np.array([np.full(shape, value) for value in (0.0, 1e-38, -3e38, 3e38)], np.float32)
    score, channel_score = train.run_model(model, extremes)
    assert (score.shape, channel_score.shape) == ((4,), (4, shape[0]))
    assert np.isfinite(score).all()
    assert np.isfinite(channel_score).all()


def test_a_window_scores_alike_alone_and_in_company(case: tuple) -> None:
    model, shape = case
    windows = normal(*shape, n=9, seed=1).values
    together, _ = train.run_model(model, windows)
    alone = np.concatenate([train.run_model(model, windows[index : index + 1])[0] for index in range(9)])
    np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_no_windows_give_no_scores(case: tuple) -> None:
    model, (channels, time) = case
    score, channel_score = train.run_model(model, np.empty((0, channels, time), np.float32))
    assert (score.shape, channel_score.shape) == ((0,), (0, channels))


def test_a_step_in_one_channel_scores_high_and_is_put_down_to_it(case: tuple) -> None:
    model, shape = case
    windows = normal(*shape, n=40, seed=2).values
    usual, usual_channels = train.run_model(model, windows)
    for channel in range(shape[0]):
        strange = windows[:1].copy()
        strange[0, channel] += 10 * windows[:, channel].std()
        score, channel_score = train.run_model(model, strange)
        assert score[0] > usual.max()
        assert (channel_score[0] / np.median(usual_channels, axis=0)).argmax() == channel


def test_onnx_runtime_agrees_and_takes_any_batch(case: tuple) -> None:
    model, shape = case
    converted = to_onnx.convert(model, *shape)
    graph = onnx.load_from_string(converted.data)
    assert not any(tensor.external_data for tensor in graph.graph.initializer)
    windows = normal(*shape, n=33, seed=3).values
    assert parity.check(model, converted.data, windows) <= parity.RELATIVE
    session = ort.InferenceSession(converted.data, providers=["CPUExecutionProvider"])
    for n in (1, 2, 33):
        score, channel_score = session.run(["score", "channel_score"], {"window": windows[:n]})
        assert (score.shape, channel_score.shape) == ((n,), (n, shape[0]))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_graph_that_differs_from_its_module_is_refused(family: str) -> None:
    model = fitted(family, 3, 8).model
    data = to_onnx.convert(model, 3, 8).data
    model.mean += 0.01 * model.std
    with pytest.raises(BundleError, match="ONNX Runtime and PyTorch disagree: score"):
        parity.check(model, data, normal(3, 8, seed=4).values)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_training_repeats_itself_bit_for_bit(family: str) -> None:
    first, second = fitted(family, 3, 16).model.state_dict(), fitted(family, 3, 16).model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_seed_gives_other_weights() -> None:
    first, second = (fitted("conv-autoencoder", 3, 16, seed).model.state_dict() for seed in (0, 1))
    assert not torch.equal(first["encoder.0.weight"], second["encoder.0.weight"])


def test_training_stops_early_and_keeps_the_best_epoch() -> None:
    losses: list[float] = []
    result = train.fit(
        [normal(2, 8, n=40)],
        contract(2, 8),
        "conv-autoencoder",
        seed=0,
        epochs=400,
        report=lambda epoch, loss, validation: losses.append(validation),
    )
    assert len(losses) < 400
    assert result.validation_loss == min(losses)
    assert result.epochs == int(np.argmin(losses)) + 1


def test_too_few_windows_are_refused() -> None:
    with pytest.raises(ConfigError, match="too few"):
        train.fit([normal(2, 8, n=10)], contract(2, 8), "pca", seed=0, epochs=1, report=lambda *_: None)


def test_channels_that_never_move_are_refused_where_there_is_no_other() -> None:
    still = Windows("still", np.ones((60, 2, 8), np.float32), (np.arange(60) + 1) * 8 * 1_000_000_000, None, 0)
    assert train.still_channels(still.values, contract(2, 8)) == ["c0", "c1"]
    with pytest.raises(ConfigError, match="no channel ever moves"):
        train.fit([still], contract(2, 8), "pca", seed=0, epochs=1, report=lambda *_: None)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_still_channel_and_a_copied_one_do_no_harm(family: str) -> None:
    windows = normal(3, 8)
    windows.values[:, 1] = 7.0
    windows.values[:, 2] = 2 * windows.values[:, 0]
    model = train.fit([windows], contract(3, 8), family, seed=0, epochs=1, report=lambda *_: None).model
    score, _ = train.run_model(model, windows.values)
    assert np.isfinite(score).all()
    moved = windows.values[:1].copy()
    moved[0, 1] = 17.0
    assert train.run_model(model, moved)[0][0] > score.max()


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

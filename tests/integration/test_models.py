"""Every registered model: the promises of its graph, repeatable training, and parity with ONNX Runtime."""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from agent.errors import BundleError
from export import parity, to_onnx
from export.checkpoint import Checkpoint
from export.models import FAMILIES, registered
from export.models.family import Option, Shape
from export.options import known
from export.train import Plan, run_model
from export.train import fit as train_fit
from tests.harness.training import EPOCHS, contract, fit, fitted, normal, silently, stepped, with_faults

SHAPES = [(1, 4), (3, 13), (8, 32)]
# The graph is exported at this one: an export takes a second, and the commands' tests and benchmarks export other shapes.
ODD = (3, 13)


def descends(family: str) -> bool:
    """Whether it learns by gradient steps."""
    return bool(list(registered(family).new(Shape(*ODD, 1.0)).parameters()))


every_family = pytest.mark.parametrize("family", sorted(FAMILIES))


@pytest.fixture(scope="module", params=[(family, shape) for family in sorted(FAMILIES) for shape in SHAPES], ids=str)
def case(request: pytest.FixtureRequest) -> tuple[torch.nn.Module, tuple[int, int]]:
    family, shape = request.param
    return fitted(family, *shape), shape


def test_scores_are_finite_for_any_finite_window(case: tuple) -> None:
    model, shape = case
    extremes = np.array([np.full(shape, value) for value in (0.0, 1e-38, -3e38, 3e38)], np.float32)
    score, channel_score = run_model(model, extremes)
    assert (score.shape, channel_score.shape) == ((4,), (4, shape[0]))
    assert (score.dtype, channel_score.dtype) == (np.float32, np.float32)
    assert np.isfinite(score).all()
    assert np.isfinite(channel_score).all()


def test_a_window_scores_alike_alone_and_in_company(case: tuple) -> None:
    model, shape = case
    windows = normal(*shape, n=9, seed=1).values
    together, _ = run_model(model, windows)
    alone = np.concatenate([run_model(model, windows[index : index + 1])[0] for index in range(9)])
    np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_no_windows_give_no_scores(case: tuple) -> None:
    model, (channels, time) = case
    score, channel_score = run_model(model, np.empty((0, channels, time), np.float32))
    assert (score.shape, channel_score.shape) == ((0,), (0, channels))


def test_a_step_in_one_channel_scores_high_and_is_put_down_to_it(case: tuple) -> None:
    model, shape = case
    windows = normal(*shape, n=40, seed=2).values
    usual, usual_channels = run_model(model, windows)
    for channel in range(shape[0]):
        score, channel_score = run_model(model, stepped(windows, 0, channel))
        assert score[0] > usual.max()
        assert (channel_score[0] / np.median(usual_channels, axis=0)).argmax() == channel


@every_family
def test_onnx_runtime_agrees_and_takes_any_batch(family: str) -> None:
    model = fitted(family, *ODD)
    converted = to_onnx.convert(model, *ODD)
    graph = onnx.load_from_string(converted.data)
    assert not any(tensor.external_data for tensor in graph.graph.initializer)
    assert window_by_window(graph) == []
    windows = normal(*ODD, n=33, seed=3).values
    assert parity.check(model, converted.data, windows) <= parity.RELATIVE
    session = ort.InferenceSession(converted.data, providers=["CPUExecutionProvider"])
    for n in (1, 2, 33):
        score, channel_score = session.run(["score", "channel_score"], {"window": windows[:n]})
        assert (score.shape, channel_score.shape) == ((n,), (n, ODD[0]))
        assert (score.dtype, channel_score.dtype) == (np.float32, np.float32)


def window_by_window(graph: onnx.ModelProto) -> list[str]:
    """Products that ONNX Runtime on CUDA makes one by one, by lists of addresses that no CUDA graph may rely on."""
    known = onnx.shape_inference.infer_shapes(graph, data_prop=True).graph
    shapes = {
        value.name: [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim]
        for value in (*known.value_info, *known.input)
    }
    shapes |= {tensor.name: list(tensor.dims) for tensor in known.initializer}
    products = {node.name: [shapes[name] for name in node.input] for node in known.node if node.op_type == "MatMul"}
    return [f"{name}: {left} x {right}" for name, (left, right) in products.items() if not _at_once(left, right)]


def _at_once(left: list[int | str], right: list[int | str]) -> bool:
    return len(right) == 2 or len(left) == len(right) == 1 or (len(left) > 2 and left[:-2] == right[:-2])


@pytest.mark.parametrize("family", ["conv-autoencoder", "pca"])
def test_a_graph_that_differs_from_its_module_is_refused(family: str) -> None:
    model = fit(family, normal(3, 8))
    data = to_onnx.convert(model, 3, 8).data
    model.mean += 0.01 * model.std
    with pytest.raises(BundleError, match="ONNX Runtime and PyTorch disagree: score"):
        parity.check(model, data, normal(3, 8, seed=4).values)


@every_family
def test_a_value_that_is_no_number_never_looks_normal(family: str) -> None:
    """The box refuses such windows before the model; a score that hid one would pass on a workstation all the same."""
    model = fitted(family, *ODD)
    windows = normal(*ODD, n=40, seed=5).values
    usual, _ = run_model(model, windows)
    for channel in range(ODD[0]):
        for cell in (0, ODD[1] // 2, ODD[1] - 1):
            broken = windows[:1].copy()
            broken[0, channel, cell] = np.nan
            score, _ = run_model(model, broken)
            assert np.isnan(score[0]) or score[0] > usual.max()


@every_family
def test_training_repeats_itself_bit_for_bit(family: str) -> None:
    first, second = fitted(family, *ODD).state_dict(), fit(family, normal(*ODD)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("family", [name for name in sorted(FAMILIES) if descends(name)])
def test_training_that_was_cut_off_ends_in_the_same_weights(family: str, tmp_path) -> None:
    whole = fitted(family, *ODD)
    windows = normal(*ODD)
    run = with_faults(windows) if registered(family).supervised else windows
    plan, kept = Plan(family, 0, EPOCHS), Checkpoint(tmp_path / "checkpoint.pt", {})

    def cut_off(epoch: int, *_: float) -> None:
        if epoch == EPOCHS:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_fit([run], contract(*ODD), plan, cut_off, checkpoint=kept)
    torch.manual_seed(99)  # another process starts with other random numbers
    resumed = train_fit([run], contract(*ODD), plan, silently, checkpoint=kept).model.state_dict()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.state_dict().items())


@pytest.mark.parametrize("family", [name for name in sorted(FAMILIES) if descends(name)])
def test_every_parameter_learns(family: str) -> None:
    """Several processes that train one model wait for each other's gradients: one that never comes would stop them."""
    model = registered(family).new(Shape(*ODD, 1.0)).train()
    windows = torch.from_numpy(normal(*ODD).values)
    model.fit_input(windows)
    model.loss(windows, torch.arange(len(windows)) % 2).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@every_family
def test_weights_are_read_back_into_a_fresh_model(family: str) -> None:
    model = fitted(family, *ODD)
    fresh = registered(family).new(Shape(*ODD, 1.0))
    fresh.load_state_dict(model.state_dict())
    windows = normal(*ODD, n=5, seed=6).values
    for found, expected in zip(run_model(fresh.eval(), windows), run_model(model, windows), strict=True):
        np.testing.assert_array_equal(found, expected)


@every_family
def test_a_still_channel_and_a_copied_one_do_no_harm(family: str) -> None:
    windows = normal(3, 8)
    windows.values[:, 1] = 7.0
    windows.values[:, 2] = 2 * windows.values[:, 0]
    model = fit(family, windows)
    score, _ = run_model(model, windows.values)
    assert np.isfinite(score).all()
    assert run_model(model, stepped(windows.values, 0, 1))[0][0] > score.max()


@pytest.mark.parametrize("family", [name for name in sorted(FAMILIES) if registered(name).permutes])
def test_the_order_of_channels_does_not_matter_where_it_is_said_not_to(family: str) -> None:
    order, windows = [2, 0, 1], normal(*ODD)
    other = normal(*ODD)
    other.values[:] = windows.values[:, order]
    asked = normal(*ODD, n=20, seed=7).values
    score, channel_score = run_model(fitted(family, *ODD), asked)
    permuted, permuted_channels = run_model(fit(family, other), np.ascontiguousarray(asked[:, order]))
    np.testing.assert_allclose(permuted, score, rtol=1e-3)
    np.testing.assert_allclose(permuted_channels, channel_score[:, order], rtol=1e-3, atol=1e-3 * channel_score.max())


@every_family
def test_a_family_says_what_it_is_and_where_it_comes_from(family: str) -> None:
    said = type(fitted(family, *ODD)).__doc__ or ""
    assert re.search(r"\b(19|20)\d\d\b", said), "no paper's year"
    assert re.search(r"\S += +\S", said), "no formula"
    assert registered(family).name == family


@every_family
def test_every_option_builds_a_model_at_the_ends_of_its_range(family: str) -> None:
    there = registered(family)
    for name, option in there.options.items():
        assert option.read(str(option.default), name) == option.default
        assert not option.log or (option.low or 0) > 0
        for value in _ends(option):
            built = there.new(Shape(3, 32, 1.0), {name: value})
            assert built.state_dict().keys() >= {"mean", "std"}
    assert {"learning_rate", "batch_size"} <= known(there).keys() or not descends(family)


def _ends(option: Option) -> tuple:
    if option.choices:
        return option.choices
    return tuple(type(option.default)(end) for end in (option.low, option.high) if end is not None)

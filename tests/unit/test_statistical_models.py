"""The statistical and classical families against their definitions: plain loops, numpy, scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf
from sklearn.ensemble import IsolationForest, RandomForestClassifier

from agent.errors import ConfigError
from export.models import registered
from export.models.cusum import Cusum
from export.models.detector import Detector
from export.models.ewma import Ewma
from export.models.family import Shape
from export.models.fault_features import at_prior
from export.models.features import WindowFeatures
from export.models.isolation_forest import _path_lengths
from export.models.nearest_subsequence import NearestSubsequence
from export.models.one_class_svm import SupportOfNormal
from export.models.p_value import Evidence
from export.models.quadratic_form import QuadraticForm
from export.models.robust_z import RobustZ
from export.models.soft_forest import SoftForest
from export.models.subsequences import places
from export.models.svm import FaultSvm

CHANNELS, TIME = 3, 17


def windows(n: int = 80, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, CHANNELS, TIME)) + rng.normal(size=(n, 1, TIME))
    return torch.from_numpy(values * [[1], [20], [0.1]] + 5).float()


def fitted(model: Detector, labels: torch.Tensor | None = None) -> Detector:
    torch.manual_seed(0)
    data = windows()
    if labels is not None:
        data[labels != 0, 1] += 80
    model.fit_input(data)
    model.fit_score(data, torch.zeros(len(data), dtype=torch.int64) if labels is None else labels)
    return model


def test_window_features_are_what_they_are_called() -> None:
    kinds = ("level", "spread", "roughness", "slope", "high", "low")
    z = windows(5).double()
    features = WindowFeatures(CHANNELS, TIME, kinds).double()
    t = np.arange(TIME)
    for window, found in zip(z.numpy(), features.raw(z).numpy(), strict=True):
        for channel, row in zip(window, found, strict=True):
            level, spread, roughness, slope, high, low = row
            assert level == pytest.approx(channel.mean())
            assert spread == pytest.approx(np.log(channel.std()), abs=1e-3)
            assert roughness == pytest.approx(np.log(np.sqrt(np.square(np.diff(channel)).mean())), abs=1e-3)
            assert slope == pytest.approx(np.polyfit(t, channel, 1)[0] * TIME, abs=1e-6)
            assert (high, low) == pytest.approx((channel.max() - channel.mean(), channel.min() - channel.mean()))


def test_window_features_of_normal_data_are_standardised_and_finite_for_still_channels() -> None:
    z = windows(200)
    z[:, 1] = 0
    features = WindowFeatures(CHANNELS, TIME).fit(z, lambda part: part)
    assert torch.isfinite(features).all()
    torch.testing.assert_close(features.mean(0), torch.zeros(CHANNELS, 2), atol=1e-4, rtol=0)
    torch.testing.assert_close(features.std(0)[[0, 2]], torch.ones(2, 2), atol=1e-4, rtol=0)


def test_shares_of_a_quadratic_form_add_up_to_the_distance_by_ledoit_and_wolf() -> None:
    features = torch.from_numpy(np.random.default_rng(1).normal(size=(60, 4, 2))).float()
    features[:, 1] += features[:, 0]
    form = QuadraticForm(8)
    form.fit(features)
    flat = features.flatten(1).double().numpy()
    inverse = np.linalg.inv(ledoit_wolf(flat, assume_centered=True)[0])
    expected = np.einsum("ni,ij,nj->n", flat, inverse, flat) / 8
    np.testing.assert_allclose(form(features).sum(1).numpy(), expected, rtol=1e-4)


def test_quartiles_are_numpys() -> None:
    model = RobustZ(Shape(CHANNELS, TIME, 1.0))
    found = model._quartiles(windows(4))
    expected = np.quantile(windows(4).numpy(), [0.25, 0.5, 0.75], axis=2).transpose(1, 2, 0)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_the_matrix_of_the_moving_average_is_the_recursion() -> None:
    model = Ewma(Shape(CHANNELS, TIME, 1.0), 0.3)
    z = windows(1)
    average, residual = model._charts(z)
    for channel in range(CHANNELS):
        s = 0.0
        for t in range(TIME):
            value = float(z[0, channel, t])
            assert float(residual[0, channel, t]) == pytest.approx(value - s, rel=1e-4, abs=1e-4)
            s = 0.3 * value + 0.7 * s
            assert float(average[0, channel, t]) == pytest.approx(s, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("time", [1, 2, 17, 32])
def test_cumulative_sums_by_tensor_operations_are_pages_recursion(time: int) -> None:
    model = Cusum(Shape(1, time, 1.0), 0.5)
    z = np.random.default_rng(2).normal(size=time).astype(np.float32) * 2
    root = (np.sqrt(np.abs(z)) - 0.822) / 0.349
    location, scale = model._peaks(torch.from_numpy(z)[None, None])[0, 0].tolist()
    assert location == pytest.approx(max(page(z), page(-z)), rel=1e-4, abs=1e-5)
    assert scale == pytest.approx(max(page(root), page(-root)), rel=1e-4, abs=1e-5)


def page(x: np.ndarray) -> float:
    high, c = 0.0, 0.0
    for value in x:
        c = max(0.0, c + float(value) - 0.5)
        high = max(high, c)
    return high


def test_subsequences_cover_the_window_to_its_last_cell() -> None:
    assert places(10, 0.4, 0.5).tolist() == [list(range(start, start + 4)) for start in (0, 2, 4, 6)]
    assert places(7, 0.5, 0.0).tolist() == [[0, 1, 2, 3], [3, 4, 5, 6]]
    assert places(4, 1.0, 0.5).tolist() == [[0, 1, 2, 3]]


def test_distances_to_the_bank_are_those_of_a_search_one_by_one() -> None:
    model = fitted(NearestSubsequence(Shape(CHANNELS, TIME, 1.0), 0.5, 40))
    vectors = model._vectors(windows(3, seed=1)).numpy()
    for channel in range(CHANNELS):
        for row, vector in enumerate(vectors[channel]):
            expected = min(float(np.square(vector - entry).sum()) for entry in model.bank[channel].T.numpy())
            assert float(model._distances(windows(3, seed=1))[channel, row].min()) == pytest.approx(expected, rel=1e-3)


def test_a_window_out_of_the_bank_scores_lower_than_any_other() -> None:
    model = fitted(NearestSubsequence(Shape(CHANNELS, TIME, 1.0), 1.0, 80))
    assert float(model(windows())[0].max()) < float(model(windows(40, seed=1))[0].min())


def away_from_splits(trees: list, samples: np.ndarray, margin: float) -> np.ndarray:
    """Whether no split lies within `margin` of a sample."""
    asked = [(f, t) for tree in trees for f, t in zip(tree.feature, tree.threshold, strict=True) if f >= 0]
    return np.array([all(abs(row[f] - t) > margin for f, t in asked) for row in samples])


def test_a_soft_forest_is_the_forest_where_no_split_is_near_and_its_shares_add_up() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(300, 6)) * 100, rng.integers(0, 2, 300)
    found = RandomForestClassifier(16, max_depth=5, random_state=0).fit(x, y)
    forest = SoftForest(3, 16, 6)
    trees = [tree.tree_ for tree in found.estimators_]
    forest.fit(trees, [tree.value[:, 0, 1] for tree in trees], [0, 0, 1, 1, 2, 2])
    clear = away_from_splits(trees, x, 0.05)
    assert clear.sum() > 100
    probability = (forest.base + forest(torch.from_numpy(x).float()).sum(1)).numpy()
    np.testing.assert_allclose(probability[clear], found.predict_proba(x)[clear, 1], atol=1e-5)


def test_path_lengths_give_the_anomaly_score_of_scikit_learn() -> None:
    x = np.random.default_rng(4).integers(0, 100, size=(200, 4)).astype(float)
    found = IsolationForest(n_estimators=16, max_samples=64, random_state=0).fit(x)
    trees = [tree.tree_ for tree in found.estimators_]
    forest = SoftForest(4, 16, 6)
    forest.fit(trees, [_path_lengths(tree) for tree in trees], range(4))
    clear = away_from_splits(trees, x, 0.05)
    assert clear.sum() > 20
    lengths = (forest.base + forest(torch.from_numpy(x).float()).sum(1)).numpy()
    c = 2 * (np.log(63) + np.euler_gamma) - 2 * 63 / 64
    np.testing.assert_allclose(2 ** (-lengths / c)[clear], -found.score_samples(x)[clear], rtol=1e-4)


def test_the_one_class_score_is_the_logarithm_of_the_kernel_sum() -> None:
    model = fitted(SupportOfNormal(Shape(CHANNELS, TIME, 1.0), 0.2, 64))
    score, channel_score = model(windows(5, seed=1))
    x = model._whitened(windows(5, seed=1)).numpy()
    weight = model.log_weight.double().exp().numpy()
    square = np.square(x[:, None] - model.vectors.numpy()).sum(2)
    kernel = np.exp(-square * model._gamma)
    np.testing.assert_allclose(score.numpy(), -np.log(kernel @ weight), rtol=1e-3)
    assert weight.sum() == pytest.approx(1, rel=1e-4)
    posterior = kernel * weight
    expected = (posterior * square).sum(1) / posterior.sum(1) * model._gamma
    np.testing.assert_allclose(channel_score.sum(1).numpy(), expected, rtol=1e-3)


def test_a_fault_stronger_than_any_labelled_one_is_as_probable_as_the_strongest() -> None:
    labels = (torch.arange(80) % 4 == 0).long()
    for model in (fitted(FaultSvm(Shape(CHANNELS, TIME, 1.0), 1.0, 64, 0.5), labels), random_forest(labels)):
        strong = windows(20, seed=1)
        normal = model(strong)[0]
        strong[:, 1] += 80
        labelled = model(strong)[0]
        strong[:, 1] += 8000
        score, channel_score = model(strong)
        assert float(labelled.min()) > 0.5 > float(normal.max())
        assert float(score.min()) > 0.5
        assert (channel_score.argmax(1) == 1).all()


def test_a_rarer_fault_is_less_probable_by_the_rule_of_bayes() -> None:
    probability = torch.tensor([0.0, 0.2, 0.9, 1.0])
    torch.testing.assert_close(at_prior(probability, 0.5), probability)
    # 0.1 * 0.9 / (0.1 * 0.9 + 0.9 * 0.1) is one half
    torch.testing.assert_close(at_prior(probability, 0.1), torch.tensor([0.0, 0.02 / 0.74, 0.5, 1.0]))


def random_forest(labels: torch.Tensor) -> Detector:
    return fitted(registered("random-forest").new(Shape(CHANNELS, TIME, 1.0)), labels)


def test_evidence_is_the_logarithm_of_how_rare_a_score_is() -> None:
    normal = torch.from_numpy(np.random.default_rng(5).exponential(size=(4096, 1)) + 1).float()
    evidence = Evidence(1)
    evidence.fit(normal)
    for share in (0.5, 0.1, 0.01):
        score = torch.quantile(normal, 1 - share)[None, None]
        assert float(evidence(score)) == pytest.approx(-np.log(share), rel=0.05)
    rising = evidence(torch.linspace(0, 1e6, 5000)[:, None])[:, 0]
    assert (rising.diff() > 0).all()
    assert float(rising[0]) == 0


def test_equal_normal_scores_leave_the_evidence_finite() -> None:
    evidence = Evidence(1)
    evidence.fit(torch.ones(40, 1))
    low, high = evidence(torch.tensor([[0.5], [3e38]]))[:, 0].tolist()
    assert 0 <= low < high < 1000


@pytest.mark.parametrize("by", ["p-value", "rank"])
def test_an_ensembles_channel_scores_add_up_to_its_score(by: str) -> None:
    model = fitted(registered("ensemble").new(Shape(CHANNELS, TIME, 1.0), {"members": "pca+zscore", "by": by}))
    score, channel_score = model(windows(9, seed=1))
    np.testing.assert_allclose(channel_score.sum(1).numpy(), score.numpy(), rtol=1e-4)
    assert by == "p-value" or float(score.max()) <= 1


@pytest.mark.parametrize("members", ["pca+nonsense", "ensemble+pca", "svm", ""])
def test_an_ensemble_names_the_member_that_it_cannot_take(members: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a member"):
        registered("ensemble").new(Shape(CHANNELS, TIME, 1.0), {"members": members})

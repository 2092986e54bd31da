"""Models that know kinds of fault: their third output, their probabilities at a prior, and what they say of faults nobody labelled."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from sklearn.metrics import roc_auc_score

from agent.errors import BundleError, ConfigError
from agent.infer.bundle import open_bundle, pack
from agent.infer.keys import public_key
from agent.infer.loading import load
from agent.infer.settings import InferenceSettings
from agent.types import Float32Array, Int64Array
from agent.window.contract import Contract, ContractChannel
from export import parity, to_onnx, train
from export.models import FAMILIES, registered
from export.models.classifier import Classifier
from export.models.family import Shape, Value
from export.windows import Windows
from tests.harness.bundles import KEY, PUBLIC, entries
from tests.harness.command_line import stethos
from tests.harness.datasets import write_dataset
from tests.harness.training import contract, silently

CHANNELS, TIME, KINDS = 3, 32, 3
FAN = Path(os.environ.get("STETHOS_DATA", Path(__file__).parents[3] / "shared" / "data")) / "fan/fan.npz"


def classifies(family: str) -> bool:
    return registered(family).supervised and isinstance(registered(family).new(Shape(2, 16, 1.0)), Classifier)


CLASSIFIERS = sorted(filter(classifies, FAMILIES))
every_classifier = pytest.mark.parametrize("family", CLASSIFIERS)


def labelled(n: int = 150, seed: int = 0) -> tuple[Float32Array, Int64Array]:
    """Noise around levels; kind 1 is a higher level of channel 0, kind 2 thrice the noise in channel 1; in turns."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.int64) % KINDS
    z = rng.normal(size=(n, CHANNELS, TIME))
    z[labels == 1, 0] += 1.5
    z[labels == 2, 1] *= 3
    return (100 + z * np.array([1.0, 5.0, 0.1])[:, None]).astype(np.float32), labels


def fit(family: str, kinds: int = KINDS, **options: Value) -> Classifier:
    values, labels = labelled()
    run = Windows("labelled", values, (np.arange(len(values)) + 1) * TIME * 1_000_000_000, labels, 0)
    plan = train.Plan(family, 0, 5, options, kinds=kinds)
    model = train.fit([run], contract(CHANNELS, TIME), plan, silently).model
    assert isinstance(model, Classifier)
    return model


fitted = functools.cache(fit)


def test_there_are_classifiers() -> None:
    assert {"mlp-classifier", "spectrogram-classifier", "fault-classifier", "fault-probability", "few-labels"} == {
        *CLASSIFIERS
    }


@every_classifier
def test_unseen_windows_are_put_down_to_their_kind(family: str) -> None:
    values, labels = labelled(seed=1)
    score, channel_score, probability = train.classify(fitted(family), values)
    assert (probability.argmax(1) == labels).mean() > 0.9
    np.testing.assert_allclose(probability.sum(1), 1, rtol=1e-5)
    assert roc_auc_score(labels != 0, score) > 0.97
    shares = channel_score / np.median(channel_score[labels == 0], axis=0)
    for kind, channel in ((1, 0), (2, 1)):
        assert (shares[labels == kind].argmax(1) == channel).mean() > 0.85


@every_classifier
def test_the_graph_has_the_probabilities_as_third_output(family: str) -> None:
    model, (values, _) = fitted(family), labelled(33, seed=2)
    data = to_onnx.convert(model, CHANNELS, TIME).data
    assert parity.check(model, data, values) <= parity.RELATIVE
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["score", "channel_score", "class_probability"]
    (probability,) = session.run(["class_probability"], {"window": values})
    assert (probability.shape, probability.dtype) == ((33, KINDS), np.float32)
    np.testing.assert_allclose(probability, train.classify(model, values)[2], rtol=1e-3, atol=1e-6)


@every_classifier
def test_the_stated_prior_moves_the_probabilities_as_bayes_says_and_no_score(family: str) -> None:
    values, _ = labelled(60, seed=3)
    even, rare = fitted(family), fit(family, prior=0.01)
    score, channel_score, at_even = train.classify(even, values)
    same_score, same_channels, at_rare = train.classify(rare, values)
    np.testing.assert_allclose(score, same_score, rtol=1e-4)
    np.testing.assert_allclose(channel_score, same_channels, rtol=1e-4)
    fault, doubtful = 1 - at_even[:, 0].astype(np.float64), (at_even[:, 0] > 1e-3) & (at_even[:, 0] < 0.999)
    expected = 0.01 * fault / (0.01 * fault + 0.99 * (1 - fault))
    assert doubtful.any()
    np.testing.assert_allclose(1 - at_rare[doubtful, 0], expected[doubtful], rtol=1e-2, atol=1e-5)


@every_classifier
def test_a_kind_without_an_example_is_never_probable(family: str) -> None:
    values, labels = labelled(seed=4)
    _, _, probability = train.classify(fit(family, kinds=5), values)
    assert probability.shape == (len(values), 5)
    assert probability[:, 3:].max() < 1e-3
    assert (probability.argmax(1) == labels).mean() > 0.9


@every_classifier
def test_a_fault_that_nobody_labelled_scores_higher_the_further_out_it_is(family: str) -> None:
    values, labels = labelled(seed=5)
    usual, _, _ = train.classify(fitted(family), values[labels == 0])
    shifted = []
    for deviations in (20, 40, 80):
        strange = values[labels == 0][:10].copy()
        strange[:, 2] += 0.1 * deviations
        shifted.append(train.classify(fitted(family), strange)[0])
    assert shifted[0].min() > usual.max()
    assert (shifted[2] >= shifted[1]).all()
    assert (shifted[1] >= shifted[0]).all()


def test_a_member_that_needs_labels_itself_is_refused() -> None:
    for member in ("svm", "fault-probability", "no-such"):
        with pytest.raises(ConfigError, match="cannot be a member"):
            registered("fault-probability").new(Shape(2, 16, 1.0), {"member": member})


@pytest.mark.parametrize("member", ["conv-autoencoder", "pca"])
def test_the_score_beside_a_probability_is_the_one_class_members_own(member: str) -> None:
    model = fit("fault-probability", member=member)
    values, labels = labelled(60, seed=6)
    score, channel_score, probability = train.classify(model, values)
    with torch.inference_mode():
        expected = model.get_submodule("member")(torch.from_numpy(values))
    np.testing.assert_array_equal(score, expected[0].numpy())
    np.testing.assert_array_equal(channel_score, expected[1].numpy())
    order = np.argsort(score)
    assert (np.diff(probability[order, 0]) <= 1e-7).all()
    assert roc_auc_score(labels != 0, 1 - probability[:, 0]) > 0.9


def supervised_dataset(folder: Path) -> Path:
    """The pump's faulty recording also trains, with its fault named."""
    path = write_dataset(folder)
    labelled_run = '[[run]]\nfile = "fault.csv"\nrole = "train"\nlabel = "fault"\n'
    path.write_text(path.read_text() + labelled_run + '[classes]\n0 = "normal"\n1 = "overload"\n2 = "cavitation"\n')
    return path


@pytest.mark.parametrize("family", ["fault-classifier", "mlp-classifier"])
def test_a_bundle_names_its_kinds_and_runs_on_the_box(tmp_path: Path, family: str) -> None:
    assert stethos("bundle", "keygen", tmp_path / "release").exit_code == 0
    options = ("--model", family, "--window", 16, "--hop", 4, "--out", tmp_path / "run", "--epochs", 3)
    trained = stethos("model", "train", supervised_dataset(tmp_path), *options)
    assert trained.exit_code == 0, trained.output
    exported = stethos("model", "export", tmp_path / "run", "--key", tmp_path / "release.key", "--out", tmp_path)
    assert exported.exit_code == 0, exported.output
    path = tmp_path / "pump-1.0.0.stethos"
    opened = open_bundle(path.read_bytes(), [public_key((tmp_path / "release.pub").read_bytes(), "pub")])
    assert opened.manifest.model.kinds == ["normal", "overload", "cavitation"]
    score, channel_score = load(opened, InferenceSettings(device="cpu")).score(opened.golden.windows)
    np.testing.assert_allclose(score, opened.golden.score, rtol=1e-3, atol=1e-4)
    assert channel_score.shape == (len(score), 3)
    assert "normal, overload, cavitation" in stethos("bundle", "show", path).output
    judged = json.loads(stethos("model", "evaluate", tmp_path / "run", "--json").stdout)
    assert judged["metrics"]["roc_auc"] > 0.95
    assert judged["metrics"]["class_accuracy"] > 0.9
    assert judged["metrics"]["class_balanced_accuracy"] > 0.9


def test_a_third_output_that_the_manifest_does_not_name_is_refused() -> None:
    graph = to_onnx.convert(fitted("fault-classifier"), CHANNELS, TIME).data
    unnamed = open_bundle(pack(entries(model=graph), [KEY]), [PUBLIC])
    with pytest.raises(BundleError, match="class_probability"):
        load(unnamed, InferenceSettings(device="cpu"))


@pytest.mark.skipif(not FAN.is_file(), reason=f"the fan is not at {FAN}: set $STETHOS_DATA to the data folder")
@pytest.mark.parametrize("family", ["fault-classifier", "spectrogram-classifier"])
def test_an_unbalanced_fan_is_told_from_a_healthy_one_later_in_the_recording(family: str) -> None:
    """The earlier half of the pieces of each speed trains, the later half is judged: never shuffled.

    The means are taken out: between the recordings the sensor's tilt changed, and tells them apart whatever the fan does.
    """
    early, late, truth = [], [], []
    with np.load(FAN) as fan:
        for speed in ("low", "med", "high"):
            for label in (0, 1):
                pieces = np.ascontiguousarray(fan[f"fan_0_{speed}_{label}_weight"].transpose(0, 2, 1), np.float32)
                pieces -= pieces.mean(2, keepdims=True)
                n = len(pieces) // 2
                end_ns = (np.arange(n) + 1) * 1_000_000_000
                early.append(Windows(f"{speed} {label}", pieces[:n], end_ns, np.full(n, label, np.int64), 0))
                late.append(pieces[n:])
                truth.append(np.full(len(pieces) - n, label))
    axes = [ContractChannel(name=name, unit="g") for name in "xyz"]
    rig = Contract(channels=axes, rate_hz=200.0, window=200, hop=200)
    model = train.fit(early, rig, train.Plan(family, 0, 10), silently).model
    assert roc_auc_score(np.concatenate(truth), train.run_model(model, np.concatenate(late))[0]) > 0.975

"""Variants of real models: what stays float32, what is shipped and why not, and what the box makes of one that does not keep its promise.

How fast a form is, is given here: tests time nothing.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto

from agent.errors import BundleError, ConfigError
from agent.infer.agreement import Judge
from agent.infer.bundle import Bundle, open_bundle, pack
from agent.infer.certificate import LEAST_AGREEMENT, Parity
from agent.infer.golden import GoldenVectors, golden_bytes
from agent.infer.graph import check_graph
from agent.infer.loading import load
from agent.infer.plan import Plan
from agent.infer.session import Session
from agent.infer.settings import InferenceSettings
from export import bundle as bundles
from export import certify, data, dataset, half, layers, quantize, to_onnx, trial_windows
from export.judge.scoring import score_at_budget
from export.models import registered
from export.models.detector import Detector
from export.models.family import Shape
from export.race import Timing, race
from export.release import Release
from export.rundir import TrainedRun
from export.train import run_model
from export.training_run import Settings, train_run
from export.trial_windows import Trial, WindowsToTry
from export.variants import certify_forms
from tests.harness.bundles import KEY, PUBLIC, manifest
from tests.harness.datasets import write_dataset
from tests.harness.training import fitted, normal, silently

CPU = InferenceSettings(device="cpu")
CHANNELS, TIME = 3, 16
# A network each of convolutions, of products, of attention, and two with a fitted head behind it.
NETWORKS = ["conv-autoencoder", "dense-autoencoder", "patch-transformer", "few-labels", "image-cnn"]
CLOSED = ["pca", "kmeans", "gru-autoencoder", "lstm-forecast"]
DATA = Path(os.environ.get("STETHOS_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say how many times as fast as fp32 each form shall be."""

    def say(fp16: float = 1.0, int8: float = 1.0) -> None:
        given = {"fp32": 1.0, "fp16": fp16, "int8": int8}

        def told(sessions: Mapping[str, object], _: np.ndarray) -> dict[str, Timing]:
            return {name: Timing(1 / given[name.split()[0]], given[name.split()[0]]) for name in sessions}

        monkeypatch.setattr(certify, "race", told)

    return say


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    path = write_dataset(tmp_path_factory.mktemp("pump"))
    source = dataset.load(path)
    return train_run(source, data.read(source), Settings("dense-autoencoder", TIME, 1, 0, 5), silently)


@pytest.fixture(scope="module")
def trial(trained: TrainedRun) -> Trial:
    return trial_windows.gather(trained.record)


@pytest.fixture(scope="module")
def mild(trial: Trial) -> Trial:
    """Without the windows spoilt on purpose, on which a model as small as this one is decided by its last digits."""
    return Trial({name: each for name, each in trial.sets.items() if name != "spoilt"}, trial.training)


@functools.cache
def graph_and_layers(family: str) -> tuple[Detector, bytes, tuple[str, ...]]:
    model = fitted(family, CHANNELS, TIME)
    graph = to_onnx.convert(model, CHANNELS, TIME).data
    return model, graph, layers.learned(onnx.load_from_string(graph).graph, model)


def scores(graph: bytes, windows: np.ndarray) -> np.ndarray:
    return ort.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(["score"], {"window": windows})[0]


@pytest.mark.parametrize("family", NETWORKS)
def test_fp16_is_the_network_alone(family: str) -> None:
    _, graph, learned = graph_and_layers(family)
    converted = half.convert(graph, learned)
    check_graph(converted, "model.fp16.onnx")
    before, after = onnx.load_from_string(graph).graph, onnx.load_from_string(converted).graph
    outside = {node.name for node in before.node} - layers.between(before, learned)
    kept = {node.name for node in after.node if not node.name.startswith("network/")}
    assert kept == outside
    assert all(each.type.tensor_type.elem_type == TensorProto.FLOAT for each in (*after.input, *after.output))
    assert any(each.data_type == TensorProto.FLOAT16 for each in after.initializer)
    windows = normal(CHANNELS, TIME, n=65, seed=3).values
    np.testing.assert_allclose(scores(converted, windows), scores(graph, windows), rtol=0.02)
    assert converted == half.convert(graph, learned)


def test_fp16_keeps_a_small_movement_on_a_high_level() -> None:
    """In half precision 1000 and 1000.1 are one number, and so would be their windows."""
    model = registered("conv-autoencoder").new(Shape(1, TIME, 1.0))
    windows = (1000 + 0.1 * np.random.default_rng(0).normal(size=(40, 1, TIME))).astype(np.float32)
    model.mean.fill_(1000.0)
    model.std.fill_(0.1)
    graph = to_onnx.convert(model.eval(), 1, TIME).data
    converted = half.convert(graph, layers.learned(onnx.load_from_string(graph).graph, model))
    np.testing.assert_allclose(scores(converted, windows), scores(graph, windows), rtol=0.01)


@pytest.mark.parametrize("family", NETWORKS)
def test_int8_quantises_learned_layers_alone_and_takes_any_batch(family: str) -> None:
    _, graph, learned = graph_and_layers(family)
    training = normal(CHANNELS, TIME, n=100).values
    made = list(quantize.candidates(graph, learned, training))
    assert made
    windows = normal(CHANNELS, TIME, n=33, seed=3).values
    worst = []
    for candidate in made:
        check_graph(candidate, "model.int8.onnx")
        session = ort.InferenceSession(candidate, providers=["CPUExecutionProvider"])
        for n in (1, 2, 33):
            score, channel_score = session.run(["score", "channel_score"], {"window": windows[:n]})
            assert (score.shape, channel_score.shape) == ((n,), (n, CHANNELS))
            assert score.dtype == np.float32
        worst.append(float(np.median(np.abs(score / scores(graph, windows) - 1))))
    assert 0 < worst[0] < 0.2
    assert worst[-1] <= worst[0]
    assert made[0].count(b"DequantizeLinear") > made[-1].count(b"DequantizeLinear") or len(made) == 1


@pytest.mark.parametrize("family", CLOSED)
def test_what_was_fitted_in_closed_form_or_runs_step_by_step_has_no_variant(family: str) -> None:
    model, graph, learned = graph_and_layers(family)
    assert learned == ()
    assert list(quantize.candidates(graph, learned, normal(CHANNELS, TIME).values)) == []
    certified = certified_of(model, graph, normal(CHANNELS, TIME).values, ("fp16", "int8"))
    assert set(certified.verdicts) == {"fp16", "int8"}
    assert all(verdict.startswith("not made") for verdict in certified.verdicts.values())


@pytest.mark.parametrize("family", ["range-record", "svm", "spectrogram-cnn", "nearest-subsequence"])
def test_the_certificate_of_fp32_says_that_all_is_decided_alike(family: str) -> None:
    model, graph, _ = graph_and_layers(family)
    parity = certified_of(model, graph, normal(CHANNELS, TIME, n=80, seed=4).values)
    (fp32,) = parity.comparisons
    assert parity.agreement(fp32) == 1
    assert fp32.sets["held-out"].errors["score"].relative.max < 1e-4
    assert len(fp32.sets["held-out"].errors) == len(to_onnx.outputs(model))


def certified_of(model: Detector, graph: bytes, windows: np.ndarray, wanted: tuple[str, ...] = ()) -> Parity:
    score, channel_score = run_model(model, windows)
    calibration = msgspec.structs.replace(
        manifest().calibration, threshold=float(np.quantile(score, 0.9)), scale=float(score.std())
    )
    trial = Trial({"held-out": WindowsToTry(windows, "normal")}, windows)
    golden = GoldenVectors(windows, score, channel_score)
    return certify_forms(model, graph, golden, Judge(calibration), trial, wanted=wanted).parity


def exported(run: TrainedRun, trial: Trial, *variants: str) -> bundles.Exported:
    return bundles.export(run, [KEY], Release("1.0.0", 1, variants=variants), trial=trial)


def opened(found: bundles.Exported) -> Bundle:
    return open_bundle(found.data, [PUBLIC])


def test_a_faster_variant_that_decides_alike_is_shipped_and_runs_on_the_box(
    trained: TrainedRun, mild: Trial, speeds: Callable[..., None]
) -> None:
    speeds(fp16=1.5, int8=2.0)
    bundle = opened(exported(trained, mild, "fp16"))
    assert set(bundle.variants) == set(bundle.manifest.variants) == {"fp16"}
    assert bundle.manifest.variants["fp16"].speed == {"CPUExecutionProvider": 1.5}
    assert bundle.parity is not None
    assert bundle.parity.verdicts["fp16"].startswith("shipped: 1.50 times as fast as fp32 on CPUExecutionProvider")
    assert {each.form for each in bundle.parity.comparisons} == {"fp32", "fp16"}
    assert all(bundle.parity.agreement(each) >= LEAST_AGREEMENT for each in bundle.parity.comparisons)
    loaded = load(bundle, CPU)
    assert loaded.variant == "fp16"
    np.testing.assert_allclose(loaded.score(bundle.golden.windows)[0], bundle.golden.score, rtol=0.05)
    loaded.close()


def test_a_variant_that_is_no_faster_is_not_shipped_and_the_certificate_says_so(
    trained: TrainedRun, mild: Trial, speeds: Callable[..., None]
) -> None:
    speeds(fp16=0.97, int8=1.04)
    bundle = opened(exported(trained, mild, "fp16", "int8"))
    assert bundle.variants == bundle.manifest.variants == {}
    assert bundle.parity is not None
    assert bundle.parity.verdicts["fp16"] == (
        "not shipped: not for CPUExecutionProvider: 0.97 times as fast as fp32, 1.1 is the least"
    )
    assert "1.04 times as fast" in bundle.parity.verdicts["int8"]
    assert load(bundle, CPU).variant == "fp32"


def narrow(trial: Trial) -> Trial:
    """Training windows that hardly move, so that 8 bits end far below what the machine does."""
    assert trial.training is not None
    mean = trial.training.mean(axis=(0, 2), keepdims=True)
    return replace(trial, training=(mean + 1e-3 * (trial.training - mean)).astype(np.float32))


def test_an_int8_variant_that_decides_otherwise_is_refused_however_fast_it_is(
    trained: TrainedRun, trial: Trial, speeds: Callable[..., None]
) -> None:
    speeds(int8=9.0)
    bundle = opened(exported(trained, narrow(trial), "int8"))
    assert bundle.variants == {}
    assert bundle.parity is not None
    verdict = bundle.parity.verdicts["int8"]
    assert verdict.startswith("not shipped")
    assert "windows are decided as PyTorch decides them at" in verdict or "golden" in verdict
    int8 = next(each for each in bundle.parity.comparisons if each.form == "int8")
    assert bundle.parity.agreement(int8) < LEAST_AGREEMENT


def test_the_box_refuses_a_variant_that_decides_a_golden_window_otherwise(
    trained: TrainedRun, trial: Trial, mild: Trial, speeds: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """Signed all the same: a supplier's program can be wrong, and so can the processor of the box."""
    speeds(fp16=2.0, int8=9.0)
    good = exported(trained, mild, "fp16")
    told = good.manifest.variants["fp16"]
    graph, golden = opened(good).model, opened(good).golden
    assert narrow(trial).training is not None
    learned = layers.learned(onnx.load_from_string(graph).graph, trained.model)
    wrong = next(quantize.candidates(graph, learned, narrow(trial).training))
    loose = msgspec.structs.replace(told, relative_tolerance=1e6, absolute_tolerance=1e6)
    altered = msgspec.structs.replace(good.manifest, variants={"fp16": loose})
    parts = {"manifest.json": msgspec.json.encode(altered), "model.onnx": graph, "golden.npz": golden_bytes(golden)}
    bundle = open_bundle(pack({**parts, "model.fp16.onnx": wrong}, [KEY]), [PUBLIC])
    with pytest.raises(BundleError, match=r"fp16 decides golden window \d+ otherwise on CPUExecutionProvider"):
        Session(bundle, CPU, plan=Plan("fp16"))
    assert load(bundle, CPU).variant == "fp32"
    assert "otherwise" in caplog.text


def test_golden_windows_lie_on_both_sides_of_every_budgets_threshold(trained: TrainedRun) -> None:
    golden = bundles.golden_of(trained)
    near = golden.score[len(trained.samples) :]
    assert len(near) == 2 * len(certify.BUDGETS)
    for index, rate in enumerate(certify.per_hour()):
        threshold = score_at_budget(trained.record.calibration, rate)
        assert near[2 * index] < threshold <= near[2 * index + 1]


def test_without_the_data_set_there_is_a_certificate_and_no_variant(trained: TrainedRun) -> None:
    few = trial_windows.of_samples(trained)
    parity = exported(trained, few).certificate
    assert [each.name for each in parity.windows] == ["golden", "edge"]
    with pytest.raises(ConfigError, match="not at hand"):
        exported(trained, few, "fp16")


def test_data_that_changed_since_training_certifies_nothing(trained: TrainedRun) -> None:
    with pytest.raises(ConfigError, match="has changed since"):
        trial_windows.gather(msgspec.structs.replace(trained.record, data_sha256="0" * 64))


def test_the_race_is_against_the_first(trained: TrainedRun) -> None:
    graph = to_onnx.convert(trained.model, CHANNELS, TIME).data
    sessions = {name: ort.InferenceSession(graph, providers=["CPUExecutionProvider"]) for name in ("fp32", "again")}
    found = race(sessions, trained.samples[:1], rounds=2)
    assert found["fp32"].speed == 1
    assert found["again"].speed > 0
    assert min(each.run_ms for each in found.values()) > 0


@pytest.mark.skipif(not (DATA / "skab").is_dir(), reason=f"SKAB is not at {DATA}: set $STETHOS_DATA")
def test_fp16_raises_the_same_alarms_on_the_water_loop(tmp_path: Path, speeds: Callable[..., None]) -> None:
    speeds(fp16=2.0)
    names = ["Accelerometer1RMS", "Current", "Pressure", "Temperature", "Volume Flow RateRMS"]
    channels = "".join(f'[[channel]]\nname = "c{n}"\nunit = "1"\ncolumn = "{name}"\n' for n, name in enumerate(names))
    file = DATA / "skab" / "valve1" / "1.csv"
    run = f'[[run]]\nfile = "{file}"\nrole = "train"\nrows = [0, 400]\n[[run]]\nfile = "{file}"\nrole = "test"\nrows = [400, 100000]\nlabel = "anomaly"\n'
    path = tmp_path / "loop.toml"
    path.write_text(
        f'name = "loop"\nrate_hz = 1.0\nseparator = ";"\nhold_cells = 3\n[time]\ncolumn = "datetime"\n{channels}{run}'
    )
    source = dataset.load(path)
    trained = train_run(source, data.read(source), Settings("conv-autoencoder", 32, 1, 0, 10), silently)
    found = exported(trained, trial_windows.gather(trained.record), "fp16")
    assert found.certificate.verdicts["fp16"].startswith("shipped")
    assert {each.name for each in found.certificate.windows} == {"held-out", "test", "spoilt", "edge"}
    assert load(opened(found), CPU).variant == "fp16"

"""What is loaded, on what, and what is said of it: the plan that was measured, the variants, and the truth about the providers."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from agent.clock import FakeClock
from agent.errors import BundleError, InferenceError
from agent.infer.bundle import Bundle, open_bundle, pack
from agent.infer.certificate import Variant
from agent.infer.loading import load
from agent.infer.plan import Plan
from agent.infer.session import Session
from agent.infer.settings import InferenceSettings
from agent.infer.tuned import Tuned, hardware_of, models_sha256, recall, remember
from agent.infer.tuning import tune
from tests.harness.bundles import CHANNELS, KEY, PUBLIC, TIME, energy_model, entries, golden, manifest, slow_model

CPU = InferenceSettings(device="cpu")


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.infer.tuning._ROUND_NS", 1_000_000)


def with_variant(model: bytes, speed: float = 2.0) -> Bundle:
    """A bundle whose fp16 form is `model`; its supplier found it `speed` times as fast on the CPU."""
    promised = Variant(
        relative_tolerance=1e-3,
        absolute_tolerance=1e-5,
        budgets_per_hour=[1.0],
        speed={"CPUExecutionProvider": speed},
    )
    parts = entries(manifest=msgspec.json.encode(manifest(variants={"fp16": promised})))
    return open_bundle(pack({**parts, "model.fp16.onnx": model}, [KEY]), [PUBLIC])


def tiny() -> Bundle:
    return open_bundle(pack(entries(), [KEY]), [PUBLIC])


def test_a_loaded_model_tells_what_it_runs_on_and_how_fast() -> None:
    loaded = load(tiny(), CPU)
    assert loaded.provider == "CPUExecutionProvider"
    assert loaded.placement.nodes == {"CPUExecutionProvider": 3}
    assert loaded.placement.on_cpu == {"Mul": 1, "ReduceMean": 1, "ReduceMax": 1}
    assert loaded.placement.fallen == {}, "the CPU is all there was to be had"
    assert loaded.latency is not None
    assert 0 < loaded.latency.median_ms <= loaded.latency.worst_ms
    assert (loaded.variant, loaded.tuning, loaded.failure) == ("fp32", "not tuned", None)


def test_a_closed_model_scores_no_more() -> None:
    loaded = load(tiny(), CPU)
    loaded.close()
    loaded.close()
    with pytest.raises(InferenceError, match="was closed"):
        loaded.score(golden().windows)


def test_the_variant_that_its_supplier_found_faster_runs_where_nothing_was_measured_here() -> None:
    assert load(with_variant(energy_model()), CPU).variant == "fp16"
    assert load(with_variant(energy_model(), speed=0.9), CPU).variant == "fp32"


def test_a_variant_that_misses_its_golden_vectors_gives_way_to_fp32_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bundle = with_variant(energy_model().replace(b"ReduceMean", b"ReduceProd"))
    with caplog.at_level(logging.WARNING):
        loaded = load(bundle, CPU)
    assert (loaded.variant, loaded.tuning) == ("fp32", "fp16 was refused")
    assert "fp16 misses its golden vectors on CPUExecutionProvider" in caplog.text
    with pytest.raises(BundleError, match="misses its golden vectors"):
        Session(bundle, CPU, plan=Plan("fp16"))


def test_tuning_measures_every_form_that_is_right_here_and_the_next_start_uses_it(tmp_path: Path) -> None:
    settings = replace(CPU, cache=tmp_path / "inference")
    told: list[str] = []
    bundle = with_variant(energy_model())
    tuned = tune(bundle, settings, told=told.append)
    assert told == ["fp32", "fp16"]
    assert (tuned.provider, tuned.left_out) == ("CPUExecutionProvider", {})
    assert set(tuned.milliseconds) == {"fp32", "fp16"}
    assert all(len(of) == 11 and min(of.values()) > 0 for of in tuned.milliseconds.values())
    assert tuned.batch_sizes[-1] == 1
    assert recall(bundle, settings) == Plan(), "nothing is kept before it is remembered"
    remember(tuned, tmp_path / "inference")
    plan = recall(bundle, settings)
    assert plan == Plan(tuned.variant, tuple(tuned.batch_sizes), f"tuned {tuned.measured[:10]}")
    loaded = load(bundle, settings)
    assert isinstance(loaded, Session)
    assert (loaded.variant, loaded.batch_sizes, loaded.tuning) == (plan.variant, plan.batch_sizes, plan.basis)


def test_tuning_leaves_out_a_form_that_is_wrong_here() -> None:
    tuned = tune(with_variant(energy_model().replace(b"ReduceMean", b"ReduceProd")), CPU)
    assert tuned.variant == "fp32"
    assert "misses its golden vectors" in tuned.left_out["fp16"]
    assert set(tuned.milliseconds) == {"fp32"}


def kept(folder: Path, bundle: Bundle, **changes: object) -> None:
    """A tuning of this box, or, with `changes`, of another."""
    tuned = Tuned(
        models_sha256=models_sha256(bundle),
        hardware=hardware_of(CPU),
        measured="2026-01-02T03:04:05+00:00",
        provider="CPUExecutionProvider",
        variant="fp32",
        batch_sizes=[8, 1],
        milliseconds={"fp32": {"1": 1.0, "8": 2.0}},
    )
    remember(msgspec.structs.replace(tuned, **changes), folder)


def test_what_was_measured_here_is_used(tmp_path: Path) -> None:
    kept(tmp_path, tiny())
    assert recall(tiny(), replace(CPU, cache=tmp_path)) == Plan("fp32", (8, 1), "tuned 2026-01-02")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"hardware": msgspec.structs.replace(hardware_of(CPU), processor="Z80")}, "processor was Z80, is "),
        ({"hardware": msgspec.structs.replace(hardware_of(CPU), onnxruntime="1.0")}, "onnxruntime was 1.0, is "),
        ({"hardware": msgspec.structs.replace(hardware_of(CPU), threads=2)}, "threads was 2, is 1"),
        ({"batch_sizes": [1, 8]}, "its batch sizes do not fall to 1"),
        ({"batch_sizes": [8, 8, 1]}, "its batch sizes do not fall to 1"),
        ({"batch_sizes": [8]}, "its batch sizes do not fall to 1"),
        ({"batch_sizes": [2048, 1]}, "cannot be read"),
        ({"variant": "int8"}, "the bundle has no variant int8"),
        ({"schema": "stethos/tuned/2"}, "stethos/tuned/2 of other models"),
    ],
)
def test_what_was_measured_elsewhere_or_is_damaged_is_not_used_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, object], why: str
) -> None:
    kept(tmp_path, tiny(), **changes)
    with caplog.at_level(logging.WARNING):
        loaded = load(tiny(), replace(CPU, cache=tmp_path))
    assert isinstance(loaded, Session)
    assert loaded.batch_sizes == Plan().sizes("CPUExecutionProvider", 1)
    assert loaded.tuning.startswith("its tuning is stale and not used (")
    assert why in loaded.tuning
    assert loaded.tuning in caplog.text


def test_a_file_of_garbage_is_no_tuning(tmp_path: Path) -> None:
    kept(tmp_path, tiny())
    [path] = (tmp_path / "tuned").iterdir()
    path.write_bytes(b"\xff\x00garbage")
    assert recall(tiny(), replace(CPU, cache=tmp_path)).stale


def test_a_tuning_is_of_these_models_alone(tmp_path: Path) -> None:
    kept(tmp_path, tiny())
    other = open_bundle(pack(entries(model=slow_model()), [KEY]), [PUBLIC])
    assert recall(other, replace(CPU, cache=tmp_path)) == Plan()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InferenceError, match="run this as the user that runs stethos"):
        kept(tmp_path / "file", tiny())


def test_the_sizes_that_were_planned_are_those_that_run() -> None:
    session = Session(tiny(), CPU, FakeClock(), Plan(batch_sizes=(8, 2, 1)))
    ran: list[int] = []
    for size, binding in session._bindings.items():
        session._bindings[size] = _Noting(binding, ran)
    given = np.random.default_rng(0).normal(size=(27, CHANNELS, TIME)).astype(np.float32)
    np.testing.assert_allclose(session.score(given)[1], np.square(given).mean(axis=2), rtol=1e-5)
    assert ran == [8, 8, 8, 2, 1]


class _Noting:
    """A binding that notes the size of each of its runs."""

    def __init__(self, binding, ran: list[int]) -> None:
        self._binding = binding
        self._ran = ran

    def run(self, windows, options):
        self._ran.append(len(windows))
        return self._binding.run(windows, options)

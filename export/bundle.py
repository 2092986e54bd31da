"""A training run becomes a signed bundle: graph, variants, engines, parity, golden vectors, manifest, signatures, and a trial load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.infer import certificate
from agent.infer.agreement import Judge
from agent.infer.bundle import open_bundle, pack
from agent.infer.certificate import Parity
from agent.infer.encryption import describe, encrypt
from agent.infer.engine_key import EngineFacts
from agent.infer.golden import GoldenVectors, golden_bytes
from agent.infer.loading import load
from agent.infer.manifest import SCHEMA, Golden, Manifest, Model, Promise, Provenance
from agent.infer.settings import InferenceSettings
from export import certify, parity, to_onnx, to_tensorrt, trial_windows
from export.golden_windows import near_thresholds
from export.models.classifier import Classifier
from export.release import Release
from export.rundir import TrainedRun
from export.to_onnx import OnnxModel
from export.train import run_model
from export.trial_windows import Trial
from export.variants import Certified, certify_forms

# Wide enough for another processor's or a GPU's rounding (TF32 keeps 10 bits), far below what moves an alarm.
RELATIVE_TOLERANCE = 5e-3
ABSOLUTE_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Exported:
    """The bundle's bytes, its manifest, the worst difference between PyTorch and ONNX Runtime, and the certificate."""

    data: bytes
    manifest: Manifest
    parity: float
    certificate: Parity


def export(
    run: TrainedRun,
    keys: Sequence[Ed25519PrivateKey],
    release: Release,
    *,
    trial: Trial | None = None,
    progress: to_tensorrt.Progress = lambda *_: None,
) -> Exported:
    """Build, sign with each of `keys`, and try the bundle of `run`.

    The certificate rests on the windows of `trial`, or without any on the run's golden windows alone. Raises BundleError where ONNX Runtime
    disagrees with PyTorch, ConfigError for a capability or a variant that cannot be had.
    """
    contract = run.record.contract
    graph = to_onnx.convert(run.model, len(contract.channels), contract.window)
    worst = parity.check(run.model, graph.data, run.samples)
    engines = to_tensorrt.engines(graph.data, release.capabilities, progress=progress)
    golden = golden_of(run)
    certified = certify_run(run, graph, golden, release, trial)
    manifest = _manifest(
        run,
        graph,
        release,
        golden=golden,
        certified=certified,
        engines=to_tensorrt.facts(graph.data, engines),
    )
    entries = {
        "manifest.json": msgspec.json.format(msgspec.json.encode(manifest), indent=2),
        "model.onnx": graph.data,
        "golden.npz": golden_bytes(golden),
        "parity.json": certificate.write(certified.parity),
        **{f"model.{form}.onnx": data for form, data in certified.graphs.items()},
        **{f"engine.{name}.rtx": data for name, data in engines.items()},
    }
    if release.encryption_key is not None:
        entries = encrypt(entries, release.encryption_key, manifest)
    data = pack(entries, keys)
    trusted = [key.public_key() for key in keys]
    opened = open_bundle(data, trusted, threshold=len(keys), decryption_key=release.encryption_key)
    load(opened, InferenceSettings(device="cpu")).close()
    return Exported(data, manifest, worst, certified.parity)


def golden_of(run: TrainedRun) -> GoldenVectors:
    """The run's samples, windows near the thresholds of alarms, and what PyTorch gives for them."""
    near = near_thresholds(
        lambda windows: run_model(run.model, windows)[0], _judge(run), run.samples, certify.per_hour()
    )
    windows = np.concatenate([run.samples, near])
    return GoldenVectors(windows, *run_model(run.model, windows))


def certify_run(
    run: TrainedRun, graph: OnnxModel, golden: GoldenVectors, release: Release, trial: Trial | None
) -> Certified:
    """Make and judge what `release` wants beside fp32."""
    return certify_forms(
        run.model,
        graph.data,
        golden,
        _judge(run),
        trial or trial_windows.of_samples(run),
        wanted=release.variants,
        batch=release.batch,
    )


def _judge(run: TrainedRun) -> Judge:
    return Judge(run.record.calibration, run.record.states)


def _manifest(
    run: TrainedRun,
    graph: OnnxModel,
    release: Release,
    *,
    golden: GoldenVectors,
    certified: Certified,
    engines: dict[str, EngineFacts],
) -> Manifest:
    record = run.record
    return Manifest(
        schema=SCHEMA,
        name=record.name,
        version=release.version,
        counter=release.counter,
        model=Model(
            family=record.family,
            parameters=graph.parameters,
            opset=graph.opset,
            kinds=record.kinds if isinstance(run.model, Classifier) else [],
        ),
        contract=record.contract,
        calibration=record.calibration,
        channel_usual=record.channel_usual,
        states=record.states,
        baseline=record.baseline,
        golden=Golden(
            windows=len(golden.windows),
            relative_tolerance=RELATIVE_TOLERANCE,
            absolute_tolerance=ABSOLUTE_TOLERANCE,
        ),
        provenance=Provenance(
            data_sha256=record.data_sha256,
            stethos_version=record.stethos_version,
            created=record.created,
            seed=record.seed,
            metrics=record.metrics,
        ),
        expires=release.expires,
        device_classes=list(release.device_classes),
        encryption=None if release.encryption_key is None else describe(release.encryption_key),
        promise=None if release.promise_ms is None else Promise(batch_1_ms=release.promise_ms),
        variants=dict(certified.variants),
        engines=engines,
    )

"""A training run becomes a signed bundle: graph, parity, golden vectors, manifest, signature, and a trial load."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.infer.bundle import GoldenVectors, golden_bytes, open_bundle, pack
from agent.infer.manifest import SCHEMA, Golden, Manifest, Model, Provenance
from agent.infer.session import Session
from agent.types import Float32Array
from export import parity, to_onnx
from export.models.classifier import Classifier
from export.rundir import TrainedRun
from export.train import run_model

# Wide enough for another processor's or a GPU's rounding (TF32 keeps 10 bits), far below what moves an alarm.
_RELATIVE_TOLERANCE = 5e-3
_ABSOLUTE_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Exported:
    """The bundle's bytes, its manifest, and the worst difference between PyTorch and ONNX Runtime."""

    data: bytes
    manifest: Manifest
    parity: float


def export(run: TrainedRun, key: Ed25519PrivateKey, *, version: str, counter: int) -> Exported:
    """Build, sign and try the bundle of `run`; raises BundleError where ONNX Runtime disagrees with PyTorch."""
    contract = run.record.contract
    graph = to_onnx.convert(run.model, len(contract.channels), contract.window)
    worst = parity.check(run.model, graph.data, run.samples)
    score, channel_score = run_model(run.model, run.samples)
    golden = GoldenVectors(run.samples, score, channel_score)
    manifest = _manifest(run, graph, version, counter)
    entries = {
        "manifest.json": msgspec.json.format(msgspec.json.encode(manifest), indent=2),
        "model.onnx": graph.data,
        "golden.npz": golden_bytes(golden),
    }
    data = pack(entries, key)
    Session(open_bundle(data, [key.public_key()]), "cpu")
    return Exported(data, manifest, worst)


def choose_samples(normal: Float32Array, strange: Float32Array, count: int = 8) -> Float32Array:
    """Golden windows: `count` of `normal` and of `strange` [n, channels, time] evenly over each, and steps no recording shows.

    Anomalous windows matter most: a model that is right on normal data alone can still miss every fault.
    """
    real = [
        part[np.unique(np.linspace(0, len(part) - 1, count).astype(int))] for part in (normal, strange) if len(part)
    ]
    deviation = np.maximum(normal.std(axis=(0, 2)), np.abs(normal).max(axis=(0, 2)) * 1e-3)
    stepped = normal[:1].repeat(min(count, normal.shape[1]), axis=0)
    half = normal.shape[2] // 2
    for index in range(len(stepped)):
        stepped[index, index, half:] += 10 * deviation[index]
    return np.concatenate([*real, stepped])


def _manifest(run: TrainedRun, graph: to_onnx.OnnxModel, version: str, counter: int) -> Manifest:
    record = run.record
    return Manifest(
        schema=SCHEMA,
        name=record.name,
        version=version,
        counter=counter,
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
            windows=len(run.samples), relative_tolerance=_RELATIVE_TOLERANCE, absolute_tolerance=_ABSOLUTE_TOLERANCE
        ),
        provenance=Provenance(
            data_sha256=record.data_sha256,
            stethos_version=record.stethos_version,
            created=record.created,
            seed=record.seed,
            metrics=record.metrics,
        ),
    )

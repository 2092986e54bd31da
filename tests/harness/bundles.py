"""Small signed bundles around real ONNX graphs, made without torch: one that answers like FakeScorer, one that is slow."""

from __future__ import annotations

import numpy as np
import onnx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import json
from onnx import TensorProto, helper, numpy_helper

from agent.decide.calibration import Calibration
from agent.infer import certificate, encryption
from agent.infer.bundle import pack
from agent.infer.engine_key import EngineFacts
from agent.infer.golden import GoldenVectors, golden_bytes
from agent.infer.manifest import SCHEMA, Golden, Manifest, Model, Provenance, read_manifest
from agent.infer.scorer import FakeScorer
from agent.window.contract import Contract, ContractChannel

CHANNELS, TIME = 3, 8
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PUBLIC = KEY.public_key()
_IR, _OPSET = 9, 18


def manifest(channels: int = CHANNELS, time: int = TIME, windows: int = 4, **changes: object) -> Manifest:
    """A manifest that fits `energy_model`; `changes` replace whole fields."""
    fields: dict[str, object] = {
        "schema": SCHEMA,
        "name": "tiny",
        "version": "1.0.0",
        "counter": 1,
        "model": Model(family="energy", parameters=0, opset=_OPSET),
        "contract": Contract(
            channels=[ContractChannel(name=f"c{index}", unit="1") for index in range(channels)],
            rate_hz=1.0,
            window=time,
            hop=time,
        ),
        "calibration": Calibration(
            threshold=4.0,
            rate_per_hour=1.0,
            shape=0.0,
            scale=1.0,
            body_scores=[0.0, 1.0, 4.0],
            body_rates=[400.0, 100.0, 1.0],
            hours=100.0,
            clusters=100,
        ),
        "channel_usual": [1.0] * channels,
        "golden": Golden(windows=windows, relative_tolerance=1e-4, absolute_tolerance=1e-5),
        "provenance": Provenance(
            data_sha256="0" * 64, stethos_version="0", created="2026-01-01T00:00:00+00:00", seed=0, metrics={}
        ),
    }
    return Manifest(**(fields | changes))


def energy_model(
    channels: int = CHANNELS, time: int = TIME, outputs: tuple[str, str] = ("score", "channel_score")
) -> bytes:
    """Mean square of each channel, and the largest of them."""
    score, channel_score = outputs
    nodes = [
        helper.make_node("Mul", ["window", "window"], ["squared"]),
        helper.make_node("ReduceMean", ["squared", "last"], [channel_score], keepdims=0),
        helper.make_node("ReduceMax", [channel_score, "last"], [score], keepdims=0),
    ]
    return _model(nodes, channels, time, outputs, [numpy_helper.from_array(np.array([-1]), "last")])


def batch_of_one_model(channels: int = CHANNELS, time: int = TIME) -> bytes:
    """Like `energy_model`, and wrong by one in the score where a window runs alone: a batch size whose kernel is broken."""
    nodes = [
        helper.make_node("Mul", ["window", "window"], ["squared"]),
        helper.make_node("ReduceMean", ["squared", "last"], ["channel_score"], keepdims=0),
        helper.make_node("ReduceMax", ["channel_score", "last"], ["highest"], keepdims=0),
        helper.make_node("Shape", ["highest"], ["size"]),
        helper.make_node("Equal", ["size", "one"], ["alone"]),
        helper.make_node("Cast", ["alone"], ["error"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["highest", "error"], ["score"]),
    ]
    constants = [numpy_helper.from_array(np.array([value]), name) for name, value in {"last": -1, "one": 1}.items()]
    return _model(nodes, channels, time, ("score", "channel_score"), constants)


def slow_model(channels: int = CHANNELS, time: int = TIME) -> bytes:
    """Like `energy_model`, after as many empty rounds as the first value of the first window says."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["goes_on"]), helper.make_node("Add", ["kept", "zero"], ["passed"])],
        "round",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("kept", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("passed", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("Slice", ["window", "origin", "one", "axes"], ["corner"]),
        helper.make_node("Squeeze", ["corner"], ["first"]),
        helper.make_node("Cast", ["first"], ["rounds"], to=TensorProto.INT64),
        helper.make_node("Loop", ["rounds", "", "window"], ["looped"], body=body),
        helper.make_node("Mul", ["looped", "looped"], ["squared"]),
        helper.make_node("ReduceMean", ["squared", "last"], ["channel_score"], keepdims=0),
        helper.make_node("ReduceMax", ["channel_score", "last"], ["score"], keepdims=0),
    ]
    constants = {"last": [-1], "origin": [0, 0, 0], "one": [1, 1, 1], "axes": [0, 1, 2]}
    initializers = [numpy_helper.from_array(np.array(value), name) for name, value in constants.items()]
    initializers.append(numpy_helper.from_array(np.float32(0), "zero"))
    return _model(nodes, channels, time, ("score", "channel_score"), initializers)


def golden(channels: int = CHANNELS, time: int = TIME, windows: int = 4) -> GoldenVectors:
    """Small windows and what the energy model gives for them; the first value is 1, so that `slow_model` does one round."""
    inputs = np.random.default_rng(0).normal(size=(windows, channels, time)).astype(np.float32)
    inputs[:, 0, 0] = 1.0
    score, channel_score = FakeScorer(channels, time).score(inputs)
    return GoldenVectors(inputs, score, channel_score)


def entries(**changes: bytes) -> dict[str, bytes]:
    """The signed entries of the tiny bundle; `changes` replace them: manifest, model, golden."""
    found = {"manifest": json.encode(manifest()), "model": energy_model(), "golden": golden_bytes(golden())} | changes
    return {"manifest.json": found["manifest"], "model.onnx": found["model"], "golden.npz": found["golden"]}


def tiny_bundle(channels: int = CHANNELS, time: int = TIME, **changes: object) -> bytes:
    """A whole bundle of the energy model, signed with KEY."""
    parts = entries(
        manifest=json.encode(manifest(channels, time, **changes)),
        model=energy_model(channels, time),
        golden=golden_bytes(golden(channels, time)),
    )
    return pack(parts, [KEY])


VARIANT = certificate.Variant(relative_tolerance=1e-2, absolute_tolerance=1e-3, budgets_per_hour=[1.0], speed={})
_SPREAD = certificate.Spread(p50=0.0, p99=0.0, max=0.0)
PARITY = certificate.Parity(
    schema=certificate.SCHEMA,
    created="2026-01-01T00:00:00+00:00",
    model_sha256="0" * 64,
    machine="test",
    versions={},
    windows=[certificate.WindowSet(name="golden", windows=4, what="the golden windows")],
    budgets=[certificate.Budget(words="1 per hour", per_hour=1.0, threshold=4.0)],
    batch=1,
    comparisons=[
        certificate.Comparison(
            form="fp32",
            provider="CPUExecutionProvider",
            sets={
                "golden": certificate.OnSet(
                    errors={"score": certificate.Errors(absolute=_SPREAD, relative=_SPREAD)}, differing=[0]
                )
            },
            run_ms=1.0,
            speed=1.0,
        )
    ],
)


def full_entries(**changes: object) -> dict[str, bytes]:
    """Every entry that a bundle may hold: variants, engines and a certificate too. `changes` are to the manifest."""
    engines = {capability: _facts(capability) for capability in ("sm86", "sm120")}
    told = manifest(**{"variants": {"fp16": VARIANT, "int8": VARIANT}, "engines": engines} | changes)
    return {
        **entries(manifest=json.encode(told)),
        "model.fp16.onnx": energy_model(),
        "model.int8.onnx": energy_model(),
        "engine.sm86.rtx": b"engine for 8.6",
        "engine.sm120.rtx": b"engine for 12.0",
        "parity.json": certificate.write(PARITY),
    }


def _facts(capability: str) -> EngineFacts:
    return EngineFacts(tensorrt_rtx="1.7.1", capability=capability, model_sha256="0" * 64, max_batch=16)


def encrypted_entries(key: bytes, **changes: object) -> dict[str, bytes]:
    """`full_entries`, encrypted with `key`."""
    parts = full_entries(**{"encryption": encryption.describe(key)} | changes)
    return encryption.encrypt(parts, key, read_manifest(parts["manifest.json"]))


def _model(
    nodes: list[onnx.NodeProto], channels: int, time: int, outputs: tuple[str, str], constants: list[onnx.TensorProto]
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["batch", channels, time])],
        [
            helper.make_tensor_value_info(outputs[0], TensorProto.FLOAT, ["batch"]),
            helper.make_tensor_value_info(outputs[1], TensorProto.FLOAT, ["batch", channels]),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    onnx.checker.check_model(model)
    return model.SerializeToString()

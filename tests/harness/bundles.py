"""Small signed bundles around real ONNX graphs, made without torch: one that answers like FakeScorer, one that is slow."""

from __future__ import annotations

import numpy as np
import onnx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import json
from onnx import TensorProto, helper, numpy_helper

from agent.decide.calibration import Calibration
from agent.infer.bundle import GoldenVectors, golden_bytes, pack
from agent.infer.manifest import SCHEMA, Golden, Manifest, Model, Provenance
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
    return pack(parts, KEY)


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

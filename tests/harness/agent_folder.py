"""A whole, sound agent in a folder: configuration, profiles, signed bundle, key and secret, for tests to spoil one by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import TensorProto, helper

from agent.config.check import check
from agent.decide.calibration import Calibration
from agent.errors import ConfigError
from agent.infer.bundle import pack
from agent.infer.encryption import describe, encrypt
from agent.infer.golden import GoldenVectors, golden_bytes
from agent.infer.keys import public_pem
from agent.infer.manifest import SCHEMA, Golden, Manifest, Model, Provenance
from agent.window.contract import Contract, ContractChannel

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

AGENT = """
[agent]
id = "line-3"
state = "state"

[upstream]
broker = "mqtt://localhost:1883"
username = "line-3"
password = { file = "password" }

[trust]
keys = ["release.pub"]

[[device]]
id = "accel"
profile = "accel-cobs"
serial = { port = "ttyACCEL" }

[[device]]
id = "drive"
profile = "drive-json"
mqtt = { broker = "mqtt://127.0.0.1", topic = "plant/drive/+" }

[[machine]]
id = "pump-1"
bundle = "pump.stethos"
channels = ["accel.x", "accel.y", "drive.current"]
false_alarms = "1 per week"
"""

ACCEL = """
maker = "Test"
model = "Accelerometer"
source = "this test"
transport = "serial"
baud = 230400
rate_hz = 100.0
silent_after_s = 5.0
framing = { kind = "cobs" }
checksum = { name = "crc16-modbus" }
sequence = { field = "n" }
time = { kind = "counter" }
channel = [
  { name = "x", unit = "[g]", scale = 0.001 },
  { name = "y", unit = "[g]", scale = 0.001 },
  { name = "temp", unit = "Cel", scale = 0.1 },
]
[binary]
fields = [
  { name = "n", type = "u16" },
  { name = "x", type = "i16" },
  { name = "y", type = "i16" },
  { name = "temp", type = "i16" },
]
"""

DRIVE = """
maker = "Test"
model = "Drive"
source = "this test"
transport = "mqtt"
rate_hz = 100.0
silent_after_s = 5.0
framing = { kind = "message" }
time = { kind = "arrival" }
channel = [{ name = "current", unit = "A" }]
[json]
fields = { current = "drive.current" }
"""


def energy_model(channels: int, time: int) -> bytes:
    """A model that is small and exact: channel score is the mean square of a channel, score the largest of them."""

    def value(name: str, *shape: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])

    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["window", "window"], ["square"]),
            helper.make_node("ReduceMean", ["square", "time_axis"], ["channel_score"], keepdims=0),
            helper.make_node("ReduceMax", ["channel_score", "channel_axis"], ["score"], keepdims=0),
        ],
        "energy",
        [value("window", channels, time)],
        [value("score"), value("channel_score", channels)],
        [
            helper.make_tensor("time_axis", TensorProto.INT64, [1], [2]),
            helper.make_tensor("channel_axis", TensorProto.INT64, [1], [1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def energy_bundle(
    contract: Contract,
    *,
    hours: float = 500.0,
    golden_error: float = 0.0,
    key: Ed25519PrivateKey = KEY,
    encrypt_with: bytes | None = None,
    **changes: object,
) -> bytes:
    """A signed bundle of the energy model; `golden_error` is added to the scores that its golden vectors promise, `changes` are to its manifest."""
    channels = len(contract.channels)
    windows = np.random.default_rng(7).standard_normal((4, channels, contract.window)).astype(np.float32)
    channel_score = np.square(windows).mean(axis=2)
    score = channel_score.max(axis=1) + np.float32(golden_error)
    manifest = Manifest(
        schema=SCHEMA,
        name="pump",
        version="1.0.0",
        counter=1,
        model=Model(family="energy", parameters=0, opset=18),
        contract=contract,
        calibration=Calibration(
            threshold=2.0,
            rate_per_hour=1.0,
            shape=0.0,
            scale=0.2,
            body_scores=[0.5, 2.0],
            body_rates=[60.0, 1.0],
            hours=hours,
            clusters=100,
        ),
        channel_usual=[1.0] * channels,
        golden=Golden(windows=len(windows), relative_tolerance=1e-4, absolute_tolerance=1e-5),
        provenance=Provenance(
            data_sha256="0" * 64, stethos_version="0.1.0", created="2026-01-01T00:00:00Z", seed=7, metrics={}
        ),
    )
    if encrypt_with is not None:
        changes["encryption"] = describe(encrypt_with)
    manifest = msgspec.structs.replace(manifest, **changes)
    entries = {
        "manifest.json": msgspec.json.encode(manifest),
        "model.onnx": energy_model(channels, contract.window),
        "golden.npz": golden_bytes(GoldenVectors(windows, score, channel_score)),
    }
    return pack(entries if encrypt_with is None else encrypt(entries, encrypt_with, manifest), [key])


def contract(*channels: tuple[str, str], rate_hz: float = 100.0, hold_cells: int = 0) -> Contract:
    """A contract of (name, unit) pairs, with windows of 32 cells."""
    return Contract(
        channels=[ContractChannel(name=name, unit=unit) for name, unit in channels],
        rate_hz=rate_hz,
        window=32,
        hop=16,
        hold_cells=hold_cells,
    )


CONTRACT = contract(("x", "[g]"), ("y", "[g]"), ("current", "A"))


class AgentFolder:
    """The folder; `text` is the agent's file as `write` puts it down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "agent.toml"
        self.text = AGENT
        (folder / "firmware_configs").mkdir()
        (folder / "ttyACCEL").touch()
        self.profile("accel-cobs", ACCEL)
        self.profile("drive-json", DRIVE)
        self.bundle(energy_bundle(CONTRACT))
        (folder / "release.pub").write_bytes(public_pem(KEY.public_key()))
        (folder / "password").write_text("hunter2\n")
        (folder / "password").chmod(0o600)
        self.write()

    def problems(self) -> list[str]:
        """What the check says, with the folder's path taken out."""
        with pytest.raises(ConfigError) as caught:
            check(self.config)
        return [str(problem).replace(f"{self.folder}/", "") for problem in caught.value.problems]

    def write(self) -> None:
        self.config.write_text(self.text)

    def replace(self, old: str, new: str) -> None:
        """Change the agent's file; the old text must be there."""
        assert old in self.text, old
        self.text = self.text.replace(old, new)
        self.write()

    def profile(self, name: str, text: str) -> None:
        (self.folder / "firmware_configs" / f"{name}.toml").write_text(text)

    def bundle(self, data: bytes, name: str = "pump.stethos") -> None:
        (self.folder / name).write_bytes(data)


Spoil = Callable[[AgentFolder], object]

"""A training run as a folder that describes itself: run.json, the weights, and sample windows for export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch

from agent.decide.baseline import Baseline
from agent.decide.calibration import Calibration
from agent.errors import ConfigError, Problem
from agent.infer.manifest import States
from agent.types import Float32Array
from agent.window.contract import Contract
from export.data_report import DataReport
from export.models import registered
from export.models.detector import Detector
from export.models.family import Shape, Value

_RECORD, _WEIGHTS, _SAMPLES = "run.json", "model.pt", "samples.npy"


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about a run but its weights. `metrics` is what `stethos model evaluate` found last."""

    name: str
    family: str
    options: dict[str, Value]
    training: dict[str, Value]  # what it was trained with and on, see export.train.TRAINING and export.devices
    dataset: str  # absolute path of the data set's TOML
    data_sha256: str
    contract: Contract
    calibration: Calibration
    channel_usual: list[float]
    states: States | None = None
    baseline: Baseline
    seed: int
    epochs: int
    train_loss: float
    validation_loss: float
    losses: list[tuple[float, float]]  # train and validation, of every epoch
    created: str  # RFC 3339
    stethos_version: str
    remarks: list[str]
    metrics: dict[str, float]
    kinds: list[str]  # what labels tell apart, normal operation first
    data: DataReport | None = None  # what the data set held, and what cleaning made of it

    @property
    def shape(self) -> Shape:
        """What the model was built for."""
        return Shape(len(self.contract.channels), self.contract.window, self.contract.rate_hz, len(self.kinds))


@dataclass(frozen=True, slots=True, eq=False)
class TrainedRun:
    """A run read back: record, model ready to score, and samples float32 [n, channels, time] for golden vectors and parity."""

    record: RunRecord
    model: Detector
    samples: Float32Array


def save(folder: Path, run: TrainedRun) -> None:
    """Write the run; the record last, so that a folder with one is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(run.model.state_dict(), folder / _WEIGHTS)
    np.save(folder / _SAMPLES, run.samples, allow_pickle=False)
    save_record(folder, run.record)


def save_record(folder: Path, record: RunRecord) -> None:
    """Write run.json alone."""
    (folder / _RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def load(folder: Path) -> TrainedRun:
    """Read a run; raises ConfigError where the folder holds none, or one of another version of Stethos."""
    try:
        record = msgspec.json.decode((folder / _RECORD).read_bytes(), type=RunRecord)
        model = registered(record.family).new(record.shape, record.options)
        model.load_state_dict(torch.load(folder / _WEIGHTS, weights_only=True))
        samples = np.load(folder / _SAMPLES, allow_pickle=False)
    except (OSError, msgspec.DecodeError, KeyError, RuntimeError, ValueError) as error:
        remedy = "give the --out folder of 'stethos model train', or train again"
        raise ConfigError([Problem(str(folder), f"holds no readable training run: {error}", remedy)]) from error
    return TrainedRun(record, model.eval(), samples)

"""One training run, from recordings to a calibrated model with the samples that its bundle will be proved by."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from agent import __version__
from agent.types import Float32Array
from agent.window.contract import Contract
from export import calibrate, train
from export.bundle import choose_samples
from export.data import Recordings
from export.dataset import DatasetFile
from export.rundir import RunRecord, TrainedRun
from export.windows import Windows, cut, split_tail, stack

_HELD_OUT_SHARE = 0.25

Report = Callable[[int, float, float], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line chooses; window and hop are in cells of the data set's rate."""

    family: str
    window: int
    hop: int
    seed: int
    epochs: int


def train_run(source: DatasetFile, recordings: Recordings, settings: Settings, report: Report) -> TrainedRun:
    """Train, then calibrate on the `calibrate` runs, or without any on the last quarter of each train run.

    Raises ConfigError where the data is too little or never moves.
    """
    contract = source.dataset.contract(settings.window, settings.hop)
    normal, held_out, remarks = _normal_windows(recordings, contract)
    fitted = train.fit(normal, contract, settings.family, seed=settings.seed, epochs=settings.epochs, report=report)
    scored = [train.run_model(fitted.model, part.values) for part in held_out]
    calibrated = calibrate.fit(
        [(score, part.end_ns) for (score, _), part in zip(scored, held_out, strict=True)], contract
    )
    usual = np.median(np.concatenate([channel_score for _, channel_score in scored]), axis=0)
    still = train.still_channels(stack(normal), contract)
    remarks += [f"channel '{name}' never moves in training: any movement of it will look strange" for name in still]
    remarks += [
        f"{cell}: {count} cells hold text and count as missing" for cell, count in recordings.text_cells.items()
    ]
    record = RunRecord(
        name=source.dataset.name,
        family=settings.family,
        dataset=str(source.path_of_toml.absolute()),
        data_sha256=recordings.sha256,
        contract=contract,
        calibration=calibrated.calibration,
        channel_usual=[float(value) for value in usual],
        seed=settings.seed,
        epochs=fitted.epochs,
        train_loss=fitted.train_loss,
        validation_loss=fitted.validation_loss,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        stethos_version=__version__,
        remarks=[*calibrated.remarks, *remarks],
        metrics={},
    )
    return TrainedRun(record, fitted.model, choose_samples(stack(held_out), _strange(recordings, contract)))


def _normal_windows(recordings: Recordings, contract: Contract) -> tuple[list[Windows], list[Windows], list[str]]:
    """Windows to train on, windows to calibrate on, and remarks on what was left out."""
    normal = [cut(run, contract) for run in recordings.of("train")]
    held_out = [cut(run, contract) for run in recordings.of("calibrate")]
    remarks = [
        f"{part.run}: {part.unknown} of {part.unknown + len(part)} windows have gaps or bad cells and were left out"
        for part in [*normal, *held_out]
        if part.unknown
    ]
    if not held_out:
        normal, held_out = map(list, zip(*(split_tail(run, _HELD_OUT_SHARE, contract) for run in normal), strict=True))
        remarks.append("no run has the role 'calibrate': the last quarter of each train run was held out instead")
    return normal, held_out, remarks


def _strange(recordings: Recordings, contract: Contract) -> Float32Array:
    """Anomalous windows of the test runs; none where nothing is labelled."""
    tests = [cut(run, contract) for run in recordings.of("test")]
    labelled = [part.values[part.anomalous] for part in tests if part.anomalous is not None]
    return np.concatenate([np.empty((0, len(contract.channels), contract.window), np.float32), *labelled])

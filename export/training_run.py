"""One training run, from recordings to a calibrated model with the samples that its bundle will be proved by."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
import torch

from agent import __version__
from agent.decide import baseline
from agent.decide.states import cluster
from agent.errors import ConfigError, Problem
from agent.types import Float32Array
from agent.window.contract import Contract
from export import calibrate, devices, train
from export.checkpoint import Checkpoint
from export.data import Recordings, Run
from export.dataset import DatasetFile
from export.dataset_schema import NORMAL
from export.descent import Report
from export.golden_windows import choose_samples
from export.models import registered
from export.models.family import Value
from export.rundir import RunRecord, TrainedRun
from export.windows import Windows, cut, split_tail, stack
from export.windows_report import with_windows

_HELD_OUT_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line chooses; window and hop are in cells of the data set's rate."""

    family: str
    window: int
    hop: int
    seed: int
    epochs: int
    options: Mapping[str, Value] = field(default_factory=dict)
    training: Mapping[str, Value] = field(default_factory=dict)
    augment: tuple[str, ...] = ()
    states: bool = False  # look for operating states, and calibrate each

    @property
    def plan(self) -> train.Plan:
        """What of this is training's own."""
        return train.Plan(self.family, self.seed, self.epochs, self.options, self.training, augment=self.augment)


def train_run(
    source: DatasetFile,
    recordings: Recordings,
    settings: Settings,
    report: Report,
    *,
    compute: devices.Compute = devices.CPU,
    checkpoint: Checkpoint | None = None,
) -> TrainedRun:
    """Train, then calibrate on the `calibrate` runs, or without any on the last quarter of each train run.

    Raises ConfigError where the data is too little or never moves.
    """
    contract = source.dataset.contract(settings.window, settings.hop)
    normal, held_out, remarks = training_windows(recordings, contract, settings.family)
    plan = replace(settings.plan, kinds=1 + len(recordings.kinds))
    fitted = train.fit(normal, contract, plan, report, compute=compute, checkpoint=checkpoint)
    scored = [train.run_model(fitted.model, part.values) for part in held_out]
    runs = [(score, part.end_ns) for (score, _), part in zip(scored, held_out, strict=True)]
    known = cluster(stack(normal).mean(axis=2, dtype=np.float64), settings.seed) if settings.states else None
    if known is not None:
        calibrated = calibrate.fit_by_state(runs, [part.values for part in held_out], known, contract)
    else:
        calibrated = calibrate.fit(runs, contract)
        remarks += ["no operating states that are apart were found"] if settings.states else []
    usual = np.median(np.concatenate([channel_score for _, channel_score in scored]), axis=0)
    still = train.still_channels(normal, contract)
    remarks += [f"channel '{name}' never moves in training: any movement of it will look strange" for name in still]
    remarks += recordings.report.remarks()
    record = RunRecord(
        name=source.dataset.name,
        family=settings.family,
        options=dict(settings.options),
        training={**_augmented(settings), **settings.training, **compute.describe()},
        dataset=str(source.path_of_toml.absolute()),
        data_sha256=recordings.sha256,
        contract=contract,
        calibration=calibrated.calibration,
        states=calibrated.states,
        channel_usual=[float(value) for value in usual],
        baseline=baseline.fit(stack(normal), contract.rate_hz),
        seed=settings.seed,
        epochs=fitted.epochs,
        train_loss=fitted.train_loss,
        validation_loss=fitted.validation_loss,
        losses=list(fitted.losses),
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        stethos_version=__version__,
        remarks=[*calibrated.remarks, *remarks],
        metrics={},
        data=with_windows(recordings, contract),
        kinds=[NORMAL, *recordings.kinds],
    )
    return TrainedRun(record, fitted.model, choose_samples(stack(held_out), _strange(recordings, contract)))


def identity(
    source: DatasetFile, recordings: Recordings, settings: Settings, compute: devices.Compute
) -> dict[str, str]:
    """What decides the weights, by name; the number of epochs does not decide the weights after the first so many."""
    contract = msgspec.json.encode(source.dataset.contract(settings.window, settings.hop))
    plan = {
        "model": settings.family,
        "window": settings.window,
        "hop": settings.hop,
        "seed": settings.seed,
        **settings.options,
        **_augmented(settings),
        **settings.training,
        **compute.describe(),
        "kinds": ", ".join(recordings.kinds),
        "data": recordings.sha256[:12],
        "data set": hashlib.sha256(contract).hexdigest()[:12],
        "torch": torch.__version__,
    }
    return {name: str(value) for name, value in plan.items()}


def _augmented(settings: Settings) -> dict[str, Value]:
    """What the record says of augmentation: nothing where there was none."""
    return {"augment": ",".join(settings.augment)} if settings.augment else {}


def training_windows(
    recordings: Recordings, contract: Contract, family: str
) -> tuple[list[Windows], list[Windows], list[str]]:
    """Windows to train on, normal windows to calibrate on, and remarks on what was left out.

    Only a supervised family is given the windows of `train` runs that are labelled as faults.
    """
    remarks: list[str] = []
    train_runs = [(run, cut(run, contract)) for run in recordings.of("train")]
    held_out = [_normal_part(run, cut(run, contract), contract, remarks) for run in recordings.of("calibrate")]
    remarks += [
        f"{part.run}: {part.unknown} of {part.unknown + len(part)} windows have gaps or bad cells and were left out"
        for part in [*(part for _, part in train_runs), *held_out]
        if part.unknown
    ]
    if not held_out:
        tails = [(run, *split_tail(part, _HELD_OUT_SHARE, contract)) for run, part in train_runs]
        held_out = [_normal_part(run, tail, contract, remarks) for run, _, tail in tails]
        train_runs = [(run, early) for run, early, _ in tails]
        remarks.append("no run has the role 'calibrate': the last quarter of each train run was held out instead")
    if not sum(map(len, held_out)):
        raise ConfigError(
            [Problem("data set", "there is no normal window to calibrate on", "add a run of normal operation")]
        )
    if registered(family).supervised:
        return [part for _, part in train_runs], held_out, remarks
    return [_normal_part(run, part, contract, remarks) for run, part in train_runs], held_out, remarks


def _normal_part(run: Run, windows: Windows, contract: Contract, remarks: list[str]) -> Windows:
    """The windows of `run` in which no row is labelled as a fault."""
    if run.labels is None:
        return windows
    order = np.argsort(run.t_ns, kind="stable")
    faults = np.concatenate([[0], np.cumsum(run.labels[order] != 0)])
    first, behind = (
        np.searchsorted(run.t_ns[order], edge_ns, side="left")
        for edge_ns in (windows.end_ns - contract.window * contract.period_ns, windows.end_ns)
    )
    normal = faults[behind] == faults[first]
    if not normal.all():
        remarks.append(
            f"{run.name}: {np.count_nonzero(~normal)} windows hold rows labelled as faults and were left out"
        )
    labels = None if windows.labels is None else windows.labels[normal]
    return Windows(run.name, windows.values[normal], windows.end_ns[normal], labels, windows.unknown)


def _strange(recordings: Recordings, contract: Contract) -> Float32Array:
    """Anomalous windows of the test runs; none where nothing is labelled."""
    tests = [cut(run, contract) for run in recordings.of("test")]
    labelled = [part.values[part.anomalous] for part in tests if part.anomalous is not None]
    return np.concatenate([np.empty((0, len(contract.channels), contract.window), np.float32), *labelled])

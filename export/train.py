"""Fits a model on windows of training runs: checked, split by time, seeded, and repeatable bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from agent.errors import ConfigError, Problem
from agent.types import Float32Array
from agent.window.contract import Contract
from export import devices
from export.checkpoint import Checkpoint
from export.descent import Labelled, Pace, Report, descend
from export.models import registered
from export.models.classifier import Classifier
from export.models.detector import Detector
from export.models.family import Family, Option, Shape, Value
from export.windows import Windows, split_tail, stack, stack_labels

VALIDATION_SHARE = 0.2
_MIN_WINDOWS = 20

# What every family that learns by gradient steps can be given beside its own options.
TRAINING = {
    "learning_rate": Option(2e-3, low=1e-5, high=1e-1, log=True),
    "batch_size": Option(32, low=8, high=1024, log=True),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to train and how; `options` are the family's own, `training` those of TRAINING; defaults where they say nothing.

    `kinds` counts what labels may tell apart, normal operation among them; `augment` names how windows are altered in training, see
    export.augment.
    """

    family: str
    seed: int
    epochs: int
    options: Mapping[str, Value] = field(default_factory=dict)
    training: Mapping[str, Value] = field(default_factory=dict)
    kinds: int = 2
    augment: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model, and how training went; 0 and no `losses` for a model that is fitted without gradient steps.

    `epochs` is the best one, whose weights these are; `losses` (train, validation) has every epoch that was run.
    """

    model: Detector
    epochs: int = 0
    train_loss: float = 0.0
    validation_loss: float = 0.0
    losses: Sequence[tuple[float, float]] = ()


def fit(
    runs: Sequence[Windows],
    contract: Contract,
    plan: Plan,
    report: Report,
    *,
    compute: devices.Compute = devices.CPU,
    checkpoint: Checkpoint | None = None,
) -> Fitted:
    """Train on the windows of `runs`, their latest fifth kept for validation; `report(epoch, train_loss, validation_loss)`.

    The same windows, plan, compute, torch build and thread count give the same weights, also when a process that went on from
    `checkpoint` ends what another began. Input and score are fitted on the CPU. Raises ConfigError for too little data.
    """
    family = registered(plan.family)
    data, train, validation = _split(runs, contract)
    if family.supervised:
        _check_kinds(train, validation)
    devices.make_repeatable()
    torch.manual_seed(plan.seed)
    model = family.new(Shape(len(contract.channels), contract.window, contract.rate_hz, plan.kinds), plan.options)
    model.fit_input(train.windows[train.labels == 0] if family.supervised else train.windows)
    fitted = Fitted(model)
    if list(model.parameters()):
        descent = descend(model, (train, validation), _pace(plan, family), compute, report, checkpoint=checkpoint)
        fitted = Fitted(model, descent.best_epoch, *descent.best_losses, descent.losses)
    model.eval()
    devices.seed_from(plan.seed)
    model.fit_score(data.windows, data.labels)
    return fitted


def run_model(model: Detector, windows: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Score [n] and channel_score [n, channels] of `windows` [n, channels, time] as PyTorch computes them."""
    score, channel_score = _in_parts(model, windows)
    return score, channel_score


def classify(model: Classifier, windows: Float32Array) -> tuple[Float32Array, Float32Array, Float32Array]:
    """The same and class_probability [n, kinds]."""
    score, channel_score, class_probability = _in_parts(model.classify, windows)
    return score, channel_score, class_probability


def _in_parts(outputs: Callable[[Tensor], tuple[Tensor, ...]], windows: Float32Array) -> list[Float32Array]:
    with torch.inference_mode():
        parts = [outputs(part) for part in torch.split(torch.from_numpy(windows), 256)]
    return [torch.cat(part).numpy() for part in zip(*parts, strict=True)]


def still_channels(parts: Sequence[Windows], contract: Contract) -> list[str]:
    """Channels that never move in all of `parts`: a model can learn nothing of them."""
    filled = [part.values for part in parts if len(part)]
    highest = np.max([values.max(axis=(0, 2)) for values in filled], axis=0)
    lowest = np.min([values.min(axis=(0, 2)) for values in filled], axis=0)
    return [name for name, top, low in zip(contract.names, highest, lowest, strict=True) if top == low]


def _split(runs: Sequence[Windows], contract: Contract) -> tuple[Labelled, Labelled, Labelled]:
    """All windows, copied once, and views of them: the ones to train on come first, the ones to validate on last."""
    parts = [(run, *split_tail(run, VALIDATION_SHARE, contract)) for run in runs]
    early, late = [part[1] for part in parts], [part[2] for part in parts]
    _check_amount(early, late, contract)
    between = [run.part(slice(len(first), len(run) - len(last))) for run, first, last in parts]
    ordered = [*early, *between, *late]
    windows, labels = torch.from_numpy(stack(ordered)), torch.from_numpy(stack_labels(ordered))
    train, validation = slice(0, _count(early)), slice(len(windows) - _count(late), None)
    return (
        Labelled(windows, labels),
        Labelled(windows[train], labels[train]),
        Labelled(windows[validation], labels[validation]),
    )


def _count(parts: Sequence[Windows]) -> int:
    return sum(map(len, parts))


def _check_amount(early: Sequence[Windows], late: Sequence[Windows], contract: Contract) -> None:
    if min(_count(early), _count(late) * 4) < _MIN_WINDOWS:
        what = (
            f"{_count(early)} windows to train and {_count(late)} to validate are too few, {_MIN_WINDOWS} is the least"
        )
        remedy = "record more normal operation, close the gaps in it (hold_cells), or take a shorter --window or --hop"
        raise ConfigError([Problem("data set", what, remedy)])
    if len(still_channels(early, contract)) == len(contract.channels):
        raise ConfigError(
            [Problem("data set", "no channel ever moves", "check the columns and rows of the train runs")]
        )


def _check_kinds(train: Labelled, validation: Labelled) -> None:
    """A supervised model needs normal windows and faults, both to learn and to be validated."""
    for what, part in (("train", train), ("validate", validation)):
        faults = int((part.labels != 0).sum())
        if faults in (0, len(part)):
            missing = f"the {len(part)} windows to {what} on are all {'faults' if faults else 'normal'}"
            remedy = "label train runs so that each kind is also in the last fifth of one of them"
            raise ConfigError([Problem("data set", missing, remedy)])


def _pace(plan: Plan, family: Family) -> Pace:
    chosen = {name: option.default for name, option in TRAINING.items()} | dict(plan.training)
    rate, batch = float(chosen["learning_rate"]), int(chosen["batch_size"])
    return Pace(plan.seed, plan.epochs, rate, batch, balanced=family.supervised, augment=plan.augment)

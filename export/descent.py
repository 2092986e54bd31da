"""The epochs of training: each seeded by its number, the best kept, ended early, and resumable after any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from agent.errors import ConfigError, Problem
from export.augment import Augment
from export.checkpoint import Checkpoint
from export.devices import Compute, Step, seed_from
from export.models.detector import Detector

_DECAY = 1e-3
_PATIENCE = 15
_SCORED_AT_ONCE = 256

Report = Callable[[int, float, float], None]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Windows float32 [n, channels, time] and their labels int64 [n]."""

    windows: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """How many windows there are."""
        return len(self.windows)

    def chosen(self, index: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        """Some of them, on `device`."""
        return self.windows[index].to(device), self.labels[index].to(device)


@dataclass(frozen=True, slots=True)
class Pace:
    """How to descend. `balanced`: every kind of label weighs alike, however rare its windows are. `augment`: some of AUGMENTATIONS."""

    seed: int
    epochs: int
    learning_rate: float
    batch_size: int
    balanced: bool
    augment: tuple[str, ...] = ()


@dataclass(slots=True)
class Descent:
    """How far training has come: losses (train, validation) of every epoch so far, and the weights of the best."""

    best: dict[str, Tensor]
    best_epoch: int = 0
    losses: list[tuple[float, float]] = field(default_factory=list)

    @property
    def best_losses(self) -> tuple[float, float]:
        """Train and validation loss of the best epoch; infinite before the first."""
        return self.losses[self.best_epoch - 1] if self.best_epoch else (float("inf"), float("inf"))

    def add(self, losses: tuple[float, float], model: Detector) -> None:
        """Count one more epoch; raises ConfigError where training has left the finite numbers."""
        self.losses.append(losses)
        if not all(map(torch.isfinite, torch.tensor(losses))):
            what = f"the loss of epoch {len(self.losses)} is no finite number"
            raise ConfigError([Problem("training", what, "take a lower --set learning_rate, or --precision float32")])
        if losses[1] < self.best_losses[1] or not self.best_epoch:
            self.best_epoch, self.best = len(self.losses), _copied(model)


def descend(
    model: Detector,
    data: tuple[Labelled, Labelled],
    pace: Pace,
    compute: Compute,
    report: Report,
    *,
    checkpoint: Checkpoint | None = None,
) -> Descent:
    """AdamW on data[0] until the loss of data[1] has not improved for 15 epochs; `model` ends with the best weights, on the CPU.

    An epoch depends on the weights, the optimiser and its own number alone, so that a checkpoint needs no random state.
    `report` and `checkpoint` are for the one process of the group that writes.
    """
    train, validation = data
    model.to(compute.device)
    optimizer = torch.optim.AdamW(model.parameters(), pace.learning_rate, weight_decay=_DECAY, fused=True)
    descent = _resumed(model, optimizer, checkpoint) or Descent(_copied(model))
    augment = Augment(pace.augment, model.mean, model.std) if pace.augment else None
    walk = _Walk(compute.loss_of(model), optimizer, pace, compute, augment)
    while len(descent.losses) < pace.epochs and len(descent.losses) - descent.best_epoch < _PATIENCE:
        model.train()
        train_loss = walk.epoch(train, len(descent.losses) + 1)
        model.eval()
        descent.add((train_loss, _validate(model, validation, pace, compute)), model)
        if compute.group.writes:
            report(len(descent.losses), *descent.losses[-1])
            if checkpoint is not None:
                checkpoint.write(_state(model, optimizer, descent))
    model.cpu().load_state_dict(descent.best)
    return descent


@dataclass(frozen=True, slots=True)
class _Walk:
    """What all epochs share."""

    step: Step
    optimizer: torch.optim.Optimizer
    pace: Pace
    compute: Compute
    augment: Augment | None

    def epoch(self, data: Labelled, number: int) -> float:
        """One pass; the mean loss over all processes."""
        group, device = self.compute.group, self.compute.device
        order = group.share(_order(data.labels, self.pace, number))
        seed_from(self.pace.seed, number, group.rank)
        total = torch.zeros((), dtype=torch.float64, device=device)
        # even parts: a last batch of one window would stop every family that normalises over its batch
        for chosen in torch.tensor_split(order, -(-len(order) // self.pace.batch_size)):
            windows, labels = data.chosen(chosen, device)
            loss = self.step(windows if self.augment is None else self.augment(windows), labels)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += loss.detach() * len(chosen)
        return float(group.total(total)) / (len(order) * group.size)


def _order(labels: Tensor, pace: Pace, epoch: int) -> Tensor:
    """Which windows the epoch takes, the same in every process: each once, or balanced draws."""
    generator = torch.Generator().manual_seed(seed_from(pace.seed, epoch))
    if not pace.balanced:
        return torch.randperm(len(labels), generator=generator)
    _, kind, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    return torch.multinomial(1 / counts[kind].double(), len(labels), replacement=True, generator=generator)


def _validate(model: Detector, data: Labelled, pace: Pace, compute: Compute) -> float:
    """The mean loss in float32, of every kind by itself where they are balanced; the draws inside are the same every time."""
    seed_from(pace.seed, 0, compute.group.rank)
    kinds = data.labels if pace.balanced else torch.zeros_like(data.labels)
    names = torch.unique(kinds)
    total = torch.zeros(len(names), dtype=torch.float64)
    with torch.inference_mode():
        for index, name in enumerate(names):
            mine = torch.where(kinds == name)[0][compute.group.rank :: compute.group.size]
            for chosen in torch.split(mine, _SCORED_AT_ONCE):
                if len(chosen):
                    total[index] += float(model.loss(*data.chosen(chosen, compute.device))) * len(chosen)
    summed = compute.group.total(total.to(compute.device)).cpu()
    counts = torch.stack([(kinds == name).sum() for name in names])
    return float((summed / counts).mean())


def _copied(model: Detector) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def _state(model: Detector, optimizer: torch.optim.Optimizer, descent: Descent) -> dict[str, object]:
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "best": descent.best,
        "best_epoch": descent.best_epoch,
        "losses": descent.losses,
    }


def _resumed(model: Detector, optimizer: torch.optim.Optimizer, checkpoint: Checkpoint | None) -> Descent | None:
    """Where an earlier process was, its weights and moments read back; None where there was none."""
    state = checkpoint.read() if checkpoint is not None else None
    if state is None:
        return None
    model.load_state_dict(cast("dict[str, Tensor]", state["model"]))
    optimizer.load_state_dict(cast("dict[str, object]", state["optimizer"]))
    return Descent(
        cast("dict[str, Tensor]", state["best"]),
        cast("int", state["best_epoch"]),
        cast("list[tuple[float, float]]", state["losses"]),
    )

"""Fits a model on normal windows: seeded, validated on the latest of them, stopped early, the best epoch kept."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from agent.errors import ConfigError, Problem
from agent.types import Float32Array
from agent.window.contract import Contract
from export.models import build
from export.models.detector import Detector
from export.windows import Windows, split_tail, stack

VALIDATION_SHARE = 0.2
_MIN_WINDOWS = 20
_BATCH = 32
_RATE = 2e-3
_DECAY = 1e-3
_PATIENCE = 15
_THREADS = 4  # models this small gain nothing from more

Report = Callable[[int, float, float], None]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model, and how training went; the losses are 0 for a model that is fitted without gradient steps."""

    model: Detector
    epochs: int
    train_loss: float
    validation_loss: float


def fit(runs: Sequence[Windows], contract: Contract, family: str, *, seed: int, epochs: int, report: Report) -> Fitted:
    """Train `family` on the windows of normal `runs`; `report(epoch, train_loss, validation_loss)` follows each epoch.

    The same windows, seed, torch build and thread count give the same weights. Raises ConfigError for too little data.
    """
    splits = [split_tail(run, VALIDATION_SHARE, contract) for run in runs]
    train, validation = stack([early for early, _ in splits]), stack([late for _, late in splits])
    _check_amount(train, validation, contract)
    _make_deterministic(seed)
    model = build(family, len(contract.channels), contract.window)
    model.fit_input(torch.from_numpy(train))
    fitted = Fitted(model, 0, 0.0, 0.0)
    if list(model.parameters()):
        fitted = _descend(model, torch.from_numpy(train), torch.from_numpy(validation), epochs, report)
    model.eval()
    model.fit_score(torch.from_numpy(stack(runs)))
    return fitted


def run_model(model: Detector, windows: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Score [n] and channel_score [n, channels] of `windows` [n, channels, time] as PyTorch computes them."""
    with torch.inference_mode():
        parts = [model(part) for part in torch.split(torch.from_numpy(windows), 256)]
    score, channel_score = (torch.cat(outputs).numpy() for outputs in zip(*parts, strict=True))
    return score, channel_score


def still_channels(windows: Float32Array, contract: Contract) -> list[str]:
    """Channels that never move in `windows` [n, channels, time]: a model can learn nothing of them."""
    spans = np.ptp(windows.transpose(1, 0, 2).reshape(len(contract.channels), -1), axis=1)
    return [name for name, span in zip(contract.names, spans, strict=True) if span == 0]


def _check_amount(train: Float32Array, validation: Float32Array, contract: Contract) -> None:
    if min(len(train), len(validation) * 4) < _MIN_WINDOWS:
        what = (
            f"{len(train)} windows to train and {len(validation)} to validate are too few, {_MIN_WINDOWS} is the least"
        )
        remedy = "record more normal operation, close the gaps in it (hold_cells), or take a shorter --window or --hop"
        raise ConfigError([Problem("data set", what, remedy)])
    if len(still_channels(train, contract)) == len(contract.channels):
        raise ConfigError(
            [Problem("data set", "no channel ever moves", "check the columns and rows of the train runs")]
        )


def _make_deterministic(seed: int) -> None:
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(mode=True)
    torch.set_num_threads(min(_THREADS, os.cpu_count() or 1))


def _descend(model: Detector, train: torch.Tensor, validation: torch.Tensor, epochs: int, report: Report) -> Fitted:
    """AdamW until the validation loss has not improved for some epochs; the best weights win."""
    optimizer = torch.optim.AdamW(model.parameters(), _RATE, weight_decay=_DECAY)
    best, best_state, best_epoch, best_train = float("inf"), copy.deepcopy(model.state_dict()), 0, float("inf")
    for epoch in range(1, epochs + 1):
        train_loss = _epoch(model, train, optimizer)
        model.eval()
        with torch.inference_mode():
            parts = torch.split(validation, 256)
            validation_loss = sum((float(model.loss(part)) * len(part) for part in parts), 0.0) / len(validation)
        report(epoch, train_loss, validation_loss)
        if validation_loss < best:
            best, best_state, best_epoch, best_train = (
                validation_loss,
                copy.deepcopy(model.state_dict()),
                epoch,
                train_loss,
            )
        if epoch - best_epoch >= _PATIENCE:
            break
    model.load_state_dict(best_state)
    return Fitted(model, best_epoch, best_train, best)


def _epoch(model: Detector, windows: torch.Tensor, optimizer: torch.optim.Optimizer) -> float:
    model.train()
    total = 0.0
    for chosen in torch.split(torch.randperm(len(windows)), _BATCH):
        loss = model.loss(windows[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.item() * len(chosen)
    return total / len(windows)

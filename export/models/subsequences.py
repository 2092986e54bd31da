"""Subsequences of windows: where they start, and how they are cut inside the graph."""

from __future__ import annotations

import torch
from torch import Tensor


def places(window: int, share: float, overlap: float) -> Tensor:
    """Which cells each subsequence holds, int64 [subsequences, length]: `share` of the window long, the last one at its end.

    Each starts 1 - `overlap` of its length after the one before, or less behind the last.
    """
    length = min(max(round(share * window), 2), window)
    step = max(round(length * (1 - overlap)), 1)
    starts = sorted({*range(0, window - length + 1, step), window - length})
    return torch.tensor(starts)[:, None] + torch.arange(length)


def cut(windows: Tensor, cells: Tensor) -> Tensor:
    """[batch, channels, time] to [batch, channels, subsequences, length]."""
    return windows[:, :, cells]


def choose(count: int, wanted: int) -> Tensor:
    """`wanted` of `count` places, int64 [wanted]: drawn without repetition while there are enough, then over again."""
    return torch.cat([torch.randperm(count) for _ in range(-(-wanted // count))])[:wanted]

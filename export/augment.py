"""Augmentation: training windows altered as a sound machine could alter them, anew for each batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from agent.errors import ConfigError, Problem
from agent.toml_structs import nearest

_JITTER = 0.05  # of a channel's deviation
_SCALING = 0.1  # standard deviation of the factor
_WARP = 0.2  # by how much the local speed may differ from one
_KNOTS = 4  # at which the speed is drawn
_DROPOUT = 0.1  # chance of each channel to be flat
_MIXING = 0.2  # most of another window

Augmentation = Callable[[Tensor, torch.Generator | None], Tensor]


class Augment:
    """A function from windows [batch, channels, time] in engineering units to altered ones of the same shape.

    `mean` and `deviation` [channels, 1] are the training windows', so that a channel's own size decides how far it is moved; a channel that
    is still in the whole batch stays so. The draws come from `generator`, which must live on the windows' device, or from torch's own where
    it is None: the same seed and batches give the same windows.
    """

    def __init__(
        self, names: Sequence[str], mean: Tensor, deviation: Tensor, generator: torch.Generator | None = None
    ) -> None:
        """`names` are some of AUGMENTATIONS, applied in this order."""
        self._steps = [AUGMENTATIONS[name] for name in names]
        self._mean, self._deviation, self._generator = mean, deviation, generator

    def __call__(self, windows: Tensor) -> Tensor:
        mean, deviation = self._mean.to(windows.device), self._deviation.to(windows.device)
        moves = (windows.amax((0, 2)) != windows.amin((0, 2)))[:, None]
        z = (windows - mean) / deviation
        for step in self._steps:
            z = step(z, self._generator)
        return torch.where(moves, z * deviation + mean, windows)


def parse(text: str) -> tuple[str, ...]:
    """`"jitter,scale"` as names; raises ConfigError for one that does not exist."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in AUGMENTATIONS:
            raise ConfigError([Problem("--augment", f"there is no '{name}'", nearest(name, AUGMENTATIONS))])
    return names


def _jitter(z: Tensor, rng: torch.Generator | None) -> Tensor:
    """White noise on every cell."""
    return z + _JITTER * torch.randn(z.shape, generator=rng, device=z.device, dtype=z.dtype)


def _scale(z: Tensor, rng: torch.Generator | None) -> Tensor:
    """Each channel's movement about its mean over the window, by a factor near one; its level stays."""
    factor = 1 + _SCALING * torch.randn((*z.shape[:2], 1), generator=rng, device=z.device, dtype=z.dtype)
    middle = z.mean(2, keepdim=True)
    return middle + factor * (z - middle)


def _warp(z: Tensor, rng: torch.Generator | None) -> Tensor:
    """All channels together run faster here and slower there, from the window's begin to its end."""
    batch, _, time = z.shape
    speed = 1 + _WARP * (2 * torch.rand((batch, 1, _KNOTS), generator=rng, device=z.device, dtype=z.dtype) - 1)
    speed = torch.nn.functional.interpolate(speed, size=time, mode="linear", align_corners=True)[:, 0]
    travelled = speed.cumsum(1) - speed[:, :1]
    at = travelled / travelled[:, -1:].clamp(min=1e-6) * (time - 1)
    before = at.floor().clamp(0, max(0, time - 2)).long()
    share = (at - before)[:, None]
    before = before[:, None].expand_as(z)
    after = (before + 1).clamp(max=time - 1)
    return z.gather(2, before) * (1 - share) + z.gather(2, after) * share


def _dropout(z: Tensor, rng: torch.Generator | None) -> Tensor:
    """Now and then a channel stays at its mean, so that no model leans on one sensor alone; never all of them."""
    dropped = torch.rand(z.shape[:2], generator=rng, device=z.device) < _DROPOUT
    dropped &= ~dropped.all(1, keepdim=True)
    return z.masked_fill(dropped[:, :, None], 0.0)


def _mix(z: Tensor, rng: torch.Generator | None) -> Tensor:
    """A little of another window of the batch (mixup, Zhang et al. 2018), which may be of another run."""
    other = torch.randperm(len(z), generator=rng, device=z.device)
    share = _MIXING * torch.rand((len(z), 1, 1), generator=rng, device=z.device, dtype=z.dtype)
    return (1 - share) * z + share * z[other]


AUGMENTATIONS: dict[str, Augmentation] = {
    "jitter": _jitter,
    "scale": _scale,
    "warp": _warp,
    "dropout": _dropout,
    "mix": _mix,
}

"""A window cut into equal patches of neighbouring cells and put together again: the tokens of sequence models."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Patching:
    """Patches of `length` cells; where they do not fill the window evenly, its oldest cell is repeated before it."""

    channels: int
    window: int
    length: int

    @classmethod
    def at_most(cls, patches: int, channels: int, window: int) -> Patching:
        """The shortest patches of which at most `patches` cover the window."""
        return cls(channels, window, -(-window // patches))

    @property
    def count(self) -> int:
        """Patches a window."""
        return -(-self.window // self.length)

    @property
    def width(self) -> int:
        """Numbers a patch."""
        return self.channels * self.length

    def cut(self, z: Tensor) -> Tensor:
        """From [batch, channels, time] to [batch, count, width]."""
        padding = self.count * self.length - self.window
        padded = F.pad(z, (padding, 0), mode="replicate") if padding else z
        return padded.reshape(-1, self.channels, self.count, self.length).transpose(1, 2).flatten(2)

    def join(self, patches: Tensor) -> Tensor:
        """From [batch, count, width] back to [batch, channels, time]."""
        cells = patches.reshape(-1, self.count, self.channels, self.length).transpose(1, 2)
        return cells.flatten(2)[:, :, -self.window :]


def before(patches: Tensor, steps: int = 1) -> Tensor:
    """What was known `steps` patches earlier: [batch, count, width] moved back, zeros (the mean) where nothing was."""
    return F.pad(patches, (0, 0, steps, 0))[:, : patches.shape[1]]

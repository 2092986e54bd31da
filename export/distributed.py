"""Several processes that train one model (torchrun): who this process is, and sums over all of them."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist

_PATIENCE = dt.timedelta(minutes=10)  # for the slowest process to read its data


@dataclass(frozen=True, slots=True)
class Group:
    """Which of `size` processes one is: its `rank`, and that among those of its own host."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def writes(self) -> bool:
        """Whether this is the one process that writes files and speaks to the terminal."""
        return self.rank == 0

    def share(self, order: torch.Tensor) -> torch.Tensor:
        """One process's part of `order` [n], the same length in every process; up to size - 1 at its end are left out."""
        return order[: len(order) - len(order) % self.size][self.rank :: self.size]

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of `values` over all processes, the same bits in each."""
        if self.size > 1:
            dist.all_reduce(values)
        return values


ALONE = Group()


@contextmanager
def joined(*, cuda: bool) -> Iterator[Group]:
    """The group that torchrun started, over NCCL with `cuda` and gloo without; alone where it started none."""
    group = Group(*(int(os.environ.get(name, default)) for name, default in _VARIABLES))
    if group.size == 1:
        yield group
        return
    if cuda:
        torch.cuda.set_device(group.local_rank)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=_PATIENCE)
    try:
        yield group
    finally:
        dist.destroy_process_group()


_VARIABLES = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))

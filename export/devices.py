"""What training computes on: processor or GPU, float32 or bfloat16, as written or compiled, alone or in a group."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from agent.errors import ConfigError, Problem
from export.distributed import ALONE, Group
from export.models.detector import Detector

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "float32", "bfloat16")
_THREADS = 4  # models this small gain nothing from more

_CPU = torch.device("cpu")

Step = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Compute:
    """One choice of all that. Normalisation, score and validation stay float32 at any precision."""

    device: torch.device = _CPU
    bfloat16: bool = False
    compiled: bool = False
    group: Group = ALONE

    def loss_of(self, model: Detector) -> Step:
        """`model.loss`, whose gradients are averaged over the group."""
        step: nn.Module = _Loss(model, self)
        if self.group.size > 1:
            step = DistributedDataParallel(step)
        if self.compiled:
            step.compile(dynamic=True)
        return step

    def describe(self) -> dict[str, str | int]:
        """In words, for a run's record; what is in it decides the weights' last bits."""
        precision = "bfloat16" if self.bfloat16 else "float32"
        return {
            "device": self.device.type,
            "precision": precision,
            "compiled": int(self.compiled),
            "processes": self.group.size,
        }


CPU = Compute()


def wants_cuda(device: str) -> bool:
    """Whether `device`, one of DEVICES, means a GPU on this machine; raises ConfigError where there is none to be had."""
    if device == "cuda" and not torch.cuda.is_available():
        what = "PyTorch sees no GPU here"
        raise ConfigError([Problem("--device cuda", what, "take --device cpu, or install PyTorch's CUDA build")])
    return device != "cpu" and torch.cuda.is_available()


def choose(*, cuda: bool, precision: str, compiled: bool, group: Group) -> Compute:
    """The device of this process; `auto` precision is float32. Raises ConfigError for what this machine lacks."""
    if compiled and not cuda and not _compiles():
        what = "there is no C++ compiler, which PyTorch needs to compile for a processor"
        raise ConfigError([Problem("--compile", what, "install g++, or leave --compile away")])
    if not cuda:
        return Compute(torch.device("cpu"), precision == "bfloat16", compiled, group)
    if group.local_rank >= (there := torch.cuda.device_count()):
        what = f"process {group.local_rank} of this host has no GPU of its own, there are {there}"
        raise ConfigError([Problem("torchrun", what, f"start at most --nproc-per-node {there}")])
    return Compute(torch.device("cuda", group.local_rank), precision == "bfloat16", compiled, group)


def _compiles() -> bool:
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))


def make_repeatable() -> None:
    """From here on every operation is deterministic, or refuses."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats itself with fixed workspaces alone
    torch.use_deterministic_algorithms(mode=True)
    torch.set_num_threads(min(_THREADS, torch.get_num_threads()))


def seed_from(*numbers: int) -> int:
    """Seed PyTorch by `numbers` and return that seed: equal numbers, equal draws; any other, unrelated ones."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
    torch.manual_seed(seed)
    return seed


class _Loss(nn.Module):
    """`loss` as a module's forward, which is where PyTorch's wrappers take hold."""

    def __init__(self, model: Detector, compute: Compute) -> None:
        super().__init__()
        self.model = model
        self._device, self._bfloat16 = compute.device.type, compute.bfloat16

    def forward(self, windows: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(self._device, torch.bfloat16, enabled=self._bfloat16):
            return self.model.loss(windows, labels).float()

"""Training as it stood after an epoch, on disk, so that it can go on where a kill or a power cut ended it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from agent.errors import ConfigError, Problem

FILE = "checkpoint.pt"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file in the run's folder; it is gone once the run is complete.

    `identity` is everything that decides the weights but the number of epochs: going on under another would end in neither's.
    """

    path: Path
    identity: Mapping[str, str]

    def write(self, state: Mapping[str, object]) -> None:
        """Replace the file at once: after a power cut it is the old or the new one, never half of either."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        with fresh.open("wb") as file:
            torch.save({"identity": dict(self.identity), "state": dict(state)}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)

    def read(self) -> dict[str, object] | None:
        """The state last written, or None; raises ConfigError for a file of another training or a broken one."""
        if not self.path.exists():
            return None
        try:
            found = torch.load(self.path, map_location="cpu", weights_only=True)
            identity, state = found["identity"], found["state"]
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            remedy = "train anew in another folder"
            raise ConfigError([Problem(str(self.path), f"is no checkpoint: {error}", remedy)]) from error
        if problems := list(self._differences(identity)):
            raise ConfigError(problems)
        whole: dict[str, object] = state
        return whole

    def remove(self) -> None:
        """The run is complete."""
        self.path.unlink(missing_ok=True)

    def _differences(self, found: Mapping[str, str]) -> list[Problem]:
        remedy = "repeat the first command and add --resume, or train anew in another folder"
        return [
            Problem(
                str(self.path), f"was begun with {name} {found.get(name)}, now it is {self.identity.get(name)}", remedy
            )
            for name in sorted({*found, *self.identity})
            if found.get(name) != self.identity.get(name)
        ]


def opened(folder: Path, identity: Mapping[str, str], *, resume: bool) -> Checkpoint:
    """The checkpoint of the run in `folder`; raises ConfigError where `resume` finds none, or without it there is one to lose."""
    checkpoint = Checkpoint(folder / FILE, identity)
    there = checkpoint.path.exists()
    if resume and not there:
        what = "holds no unfinished training"
        raise ConfigError(
            [Problem(str(folder), what, "leave --resume away, or give the --out folder of the first start")]
        )
    if there and not resume:
        what = "holds an unfinished training"
        raise ConfigError([Problem(str(folder), what, f"go on with --resume, or remove {FILE} to begin anew")])
    return checkpoint

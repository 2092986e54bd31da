"""How and where models run, as one frozen value that walks from the configuration to every session."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.types import NANOSECONDS

Device = Literal["auto", "cuda", "tensorrt", "tensorrt-rtx", "openvino", "cpu"]


@dataclass(frozen=True, slots=True)
class InferenceSettings:
    """What [inference] says, and the folder where what was measured or built for this box is kept (None: nowhere)."""

    device: Device = "auto"
    required: bool = False  # InferenceError where the device wanted is not to be had; else it degrades and says so
    threads: int = 1
    deadline_ns: int = 10 * NANOSECONDS  # of one batch
    isolate: bool = False  # in a process of its own, which may crash
    cache: Path | None = None

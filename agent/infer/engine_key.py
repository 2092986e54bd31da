"""What a TensorRT engine was built from and for: it runs only where every part of that is still the same. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import Literal

import msgspec

from agent.errors import ConfigError, Problem

Way = Literal["tensorrt", "tensorrt-rtx"]

# What TensorRT-RTX 1.7 builds for; its plug-in for ONNX Runtime runs those from SM86 on.
CAPABILITIES = ("sm75", "sm80", "sm86", "sm89", "sm120", "sm121")
# The optimisation profile: one window to as many as one run is ever given, tuned for what some machines give at once.
MAX_BATCH, USUAL_BATCH = 256, 16
_CAPABILITY = re.compile(r"(?:sm_?)?(\d{2,3})", re.IGNORECASE)


class EngineFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the manifest says of an engine in the bundle, beside the SHA-256 that the signature holds."""

    tensorrt_rtx: str  # the version that built it, as in "1.7.1"
    capability: str  # the GPUs it is for, as in "sm89"
    model_sha256: str  # of model.onnx before any encryption
    max_batch: int


class EngineKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that an engine depends on; two engines of equal keys may stand for each other."""

    way: Way
    model_sha256: str
    tensorrt: str
    cuda: str
    driver: str
    capability: str
    max_batch: int = MAX_BATCH

    @property
    def name(self) -> str:
        """A file name that no other key has; what comes first is for people."""
        digest = hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()
        return f"{self.way}-{self.capability}-{digest[:32]}"

    def replaces(self, other: EngineKey) -> bool:
        """Whether an engine of this key leaves one of `other` without a use: same model and way, and yet not the same."""
        return self != other and (self.way, self.model_sha256) == (other.way, other.model_sha256)


def misfit(facts: EngineFacts, key: EngineKey) -> str | None:
    """Why an engine from the bundle cannot run where `key` holds, or None.

    Driver and CUDA are not asked: such an engine is compiled for its GPU by the driver when it is loaded.
    """
    if key.way != "tensorrt-rtx":
        return "engines in bundles are TensorRT-RTX's"
    parts = {
        "model": (facts.model_sha256, key.model_sha256),
        "compute capability": (facts.capability, key.capability),
        "TensorRT-RTX": (facts.tensorrt_rtx, key.tensorrt),
        "largest batch": (facts.max_batch, key.max_batch),
    }
    differing = [f"{part} {built} is not {here}" for part, (built, here) in parts.items() if built != here]
    return ", ".join(differing) or None


def parse_capability(text: str) -> str:
    """The name of a capability given as SM89, sm_89 or 89: "sm89"; raises ConfigError with the nearest that there is for any other."""
    found = _CAPABILITY.fullmatch(text.strip())
    if found is None:
        what, remedy = f"{text!r} is no compute capability", f"one of {_listed()}, as `nvidia-smi` tells it"
        raise ConfigError([Problem("--tensorrt", what, remedy)])
    number = int(found[1])
    if (name := f"sm{number}") in CAPABILITIES:
        return name
    nearest = min(CAPABILITIES, key=lambda known: abs(int(known[2:]) - number))
    what = f"TensorRT-RTX builds no engines for SM{number}"
    remedy = f"the nearest that it builds for is {nearest.upper()}, of {_listed()}"
    raise ConfigError([Problem("--tensorrt", what, remedy)])


def _listed() -> str:
    return ", ".join(name.upper() for name in CAPABILITIES)

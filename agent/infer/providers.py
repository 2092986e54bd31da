"""Which ONNX Runtime execution provider to ask for, and the plain truth about the one that answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from agent.errors import InferenceError

Device = Literal["auto", "cpu", "cuda", "tensorrt"]

CPU = "CPUExecutionProvider"
_PROVIDER = {"cpu": CPU, "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
# TensorRT builds an engine for minutes at load, so "auto" leaves it to operators who ask for it.
_PREFERENCE = {
    "auto": ("cuda", "cpu"),
    "cpu": ("cpu",),
    "cuda": ("cuda", "cpu"),
    "tensorrt": ("tensorrt", "cuda", "cpu"),
}


def choose(device: Device, available: Sequence[str], *, required: bool) -> list[str]:
    """Providers to ask for, best first, out of those that this build of ONNX Runtime has.

    Where the accelerator is required the CPU is left out. Raises InferenceError where nothing is left to ask for.
    """
    wanted = [_PROVIDER[name] for name in _PREFERENCE[device] if _PROVIDER[name] in available]
    if not required or device == "cpu":
        return wanted
    first = _PROVIDER[_PREFERENCE[device][0]]
    if first not in wanted:
        raise InferenceError(
            f"[inference] requires {first}, but this ONNX Runtime has {', '.join(available)}; "
            "install stethos[gpu], or set required = false"
        )
    return [name for name in wanted if name != CPU]


def degraded(device: Device, asked: Sequence[str], in_use: Sequence[str], *, required: bool) -> str | None:
    """Why the session runs on something worse than configured, or None; `in_use` is the session's own `get_providers()`.

    ONNX Runtime falls back without an error, so what was asked for proves nothing. Raises InferenceError where the
    accelerator is required and did not answer.
    """
    best = asked[0] if device == "auto" else _PROVIDER[device]
    if in_use and in_use[0] == best:
        return None
    reason = f"degraded: {best} was wanted, {in_use[0] if in_use else 'nothing'} is in use; check the driver and its libraries"
    if required:
        raise InferenceError(f"{reason}, or set [inference] required = false")
    return reason

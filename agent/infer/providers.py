"""Which ONNX Runtime execution provider to ask for, and the plain truth about the one that answered. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.errors import InferenceError
from agent.infer.settings import Device

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
TENSORRT_RTX = "NvTensorRTRTXExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"

# TensorRT builds an engine for minutes, so "auto" leaves it to operators who ask for it; so with packages of their own.
_PREFERENCE: dict[Device, tuple[str, ...]] = {
    "auto": (CUDA, CPU),
    "cpu": (CPU,),
    "cuda": (CUDA, CPU),
    "tensorrt": (TENSORRT, CUDA, CPU),
    "tensorrt-rtx": (TENSORRT_RTX, CUDA, CPU),
    "openvino": (OPENVINO, CPU),
}
_ENGINES = (TENSORRT, TENSORRT_RTX)
_REMEDY = {
    CUDA: "install stethos[gpu]",
    TENSORRT: "install stethos[gpu] and TensorRT 10",
    TENSORRT_RTX: "install onnxruntime-ep-nv-tensorrt-rtx-cu13, on a box with an RTX-class GPU",
    OPENVINO: "install onnxruntime-ep-openvino, on a box with an Intel processor or GPU",
}


def choose(device: Device, available: Sequence[str], *, required: bool) -> list[str]:
    """Providers to ask for, best first, out of those that this box has.

    Where the accelerator is required the CPU is left out. Raises InferenceError where nothing is left to ask for.
    """
    wanted = [name for name in _PREFERENCE[device] if name in available]
    if not required or device == "cpu":
        return wanted
    first = _PREFERENCE[device][0]
    if first not in wanted:
        raise InferenceError(
            f"[inference] requires {first}, but here is only {', '.join(available)}; {_REMEDY[first]}, or set required = false"
        )
    return [name for name in wanted if name != CPU]


def meanwhile(asked: Sequence[str]) -> list[str]:
    """What serves until an engine is built: `asked` without TensorRT, whose providers would build one for minutes at load."""
    return [name for name in asked if name not in _ENGINES] or list(asked)


def degraded(
    device: Device, asked: Sequence[str], in_use: Sequence[str], *, required: bool, engine: bool = True
) -> str | None:
    """Why the session runs on something worse than configured, or None; `in_use` is the session's own `get_providers()`.

    `asked` is what `choose` gave. ONNX Runtime falls back without an error, so that proves nothing. Where an `engine` is wanted and not there yet, what
    serves meanwhile is no fault. Raises InferenceError where the accelerator is required and did not answer.
    """
    best = asked[0] if device == "auto" else _PREFERENCE[device][0]
    found = in_use[0] if in_use else "nothing"
    if found == best:
        return None
    place = f"the CPU ({CPU})" if found == CPU else found
    if not engine and best in _ENGINES and best in asked and found == meanwhile(asked)[0]:
        return f"degraded: running on {place} until the engine for {best} is ready"
    remedy = "check the driver and its libraries" if best in asked else _REMEDY[best]
    reason = f"degraded: running on {place}, {best} was wanted; {remedy}"
    if required:
        raise InferenceError(f"{reason}, or set [inference] required = false")
    return reason


def partly_degraded(fallen: Mapping[str, int], provider: str) -> str | None:
    """What to say of operators that `provider` left to the CPU, or None."""
    if not fallen:
        return None
    named = ", ".join(f"{count} {operator}" for operator, count in fallen.items())
    return f"degraded: {provider} left {sum(fallen.values())} operators to the CPU: {named}"

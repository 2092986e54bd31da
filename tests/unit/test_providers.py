"""Which providers are asked for, and what is said when another one answers."""

from __future__ import annotations

import pytest

from agent.errors import InferenceError
from agent.infer.providers import Device, choose, degraded

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
CPU_BUILD = ["AzureExecutionProvider", CPU]
GPU_BUILD = [TENSORRT, CUDA, CPU]


@pytest.mark.parametrize(
    ("device", "available", "asked"),
    [
        ("auto", CPU_BUILD, [CPU]),
        ("auto", GPU_BUILD, [CUDA, CPU]),
        ("cpu", GPU_BUILD, [CPU]),
        ("cuda", GPU_BUILD, [CUDA, CPU]),
        ("cuda", CPU_BUILD, [CPU]),
        ("tensorrt", GPU_BUILD, [TENSORRT, CUDA, CPU]),
    ],
)
def test_the_best_of_what_is_there_is_asked_for(device: Device, available: list[str], asked: list[str]) -> None:
    assert choose(device, available, required=False) == asked


@pytest.mark.parametrize(
    ("device", "asked"), [("auto", [CUDA]), ("cuda", [CUDA]), ("tensorrt", [TENSORRT, CUDA]), ("cpu", [CPU])]
)
def test_a_required_accelerator_leaves_the_processor_out(device: Device, asked: list[str]) -> None:
    assert choose(device, GPU_BUILD, required=True) == asked


@pytest.mark.parametrize("device", ["auto", "cuda", "tensorrt"])
def test_a_required_accelerator_that_the_build_lacks_is_refused(device: Device) -> None:
    with pytest.raises(InferenceError, match=r"install stethos\[gpu\]"):
        choose(device, CPU_BUILD, required=True)


@pytest.mark.parametrize(
    ("device", "asked", "in_use"),
    [
        ("auto", [CPU], [CPU]),
        ("auto", [CUDA, CPU], [CUDA, CPU]),
        ("cpu", [CPU], [CPU]),
        ("tensorrt", [TENSORRT, CUDA, CPU], [TENSORRT, CUDA, CPU]),
    ],
)
def test_what_was_wanted_is_not_degraded(device: Device, asked: list[str], in_use: list[str]) -> None:
    assert degraded(device, asked, in_use, required=False) is None


@pytest.mark.parametrize(
    ("device", "asked", "in_use"),
    [
        ("auto", [CUDA, CPU], [CPU]),
        ("cuda", [CUDA, CPU], [CPU]),
        ("cuda", [CPU], [CPU]),
        ("tensorrt", [TENSORRT, CUDA, CPU], [CUDA, CPU]),
        ("cuda", [CUDA, CPU], []),
    ],
)
def test_a_silent_fallback_is_told_or_where_required_refused(
    device: Device, asked: list[str], in_use: list[str]
) -> None:
    reason = degraded(device, asked, in_use, required=False)
    assert reason is not None
    assert (in_use[0] if in_use else "nothing") in reason
    with pytest.raises(InferenceError, match="degraded"):
        degraded(device, asked, in_use, required=True)

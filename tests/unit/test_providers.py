"""Which providers are asked for, and what is said when another one answers."""

from __future__ import annotations

import pytest

from agent.errors import InferenceError
from agent.infer.providers import choose, degraded, meanwhile
from agent.infer.settings import Device

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


RTX, OPENVINO = "NvTensorRTRTXExecutionProvider", "OpenVINOExecutionProvider"


@pytest.mark.parametrize(
    ("device", "available", "asked"),
    [
        ("tensorrt-rtx", [RTX, CPU], [RTX, CPU]),
        ("tensorrt-rtx", [RTX, *GPU_BUILD], [RTX, CUDA, CPU]),
        ("tensorrt-rtx", CPU_BUILD, [CPU]),
        ("openvino", [OPENVINO, CPU], [OPENVINO, CPU]),
        ("openvino", CPU_BUILD, [CPU]),
        (
            "auto",
            [RTX, OPENVINO, CPU],
            [CPU],
        ),  # what is built for minutes, or brings its own libraries, is asked for by name
    ],
)
def test_plug_ins_are_asked_for_where_they_are_named(device: Device, available: list[str], asked: list[str]) -> None:
    assert choose(device, available, required=False) == asked


@pytest.mark.parametrize(
    ("asked", "serving"),
    [
        ([TENSORRT, CUDA, CPU], [CUDA, CPU]),
        ([RTX, CPU], [CPU]),
        ([CUDA, CPU], [CUDA, CPU]),
        ([RTX], [RTX]),  # required, and nothing else to be had: it builds the engine at load
    ],
)
def test_until_its_engine_is_built_the_next_best_serves(asked: list[str], serving: list[str]) -> None:
    assert meanwhile(asked) == serving


def test_what_serves_until_the_engine_is_ready_says_so_and_is_no_fault_even_where_an_accelerator_is_required() -> None:
    asked = [TENSORRT, CUDA]
    reason = degraded("tensorrt", asked, [CUDA], required=True, engine=False)
    assert reason == f"degraded: running on {CUDA} until the engine for {TENSORRT} is ready"
    assert degraded("tensorrt", asked, [TENSORRT, CUDA], required=True, engine=True) is None


def test_a_fallback_to_the_cpu_while_an_engine_is_awaited_is_still_a_fallback() -> None:
    reason = degraded("tensorrt", GPU_BUILD, [CPU], required=False, engine=False)
    assert reason is not None
    assert "running on the CPU" in reason
    assert "until" not in reason


def test_the_remedy_is_what_is_missing() -> None:
    installed = degraded("cuda", [CUDA, CPU], [CPU], required=False)
    assert installed is not None
    assert installed.endswith("check the driver and its libraries")
    absent = degraded("openvino", [CPU], [CPU], required=False)
    assert absent is not None
    assert "install onnxruntime-ep-openvino" in absent

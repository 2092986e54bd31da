"""Whatever reads the GPU: none, or one whose facts have the form that engine keys are made of.

The driver's library is one of our own making here, which answers as NVIDIA's does; that the real one does was seen on an H100 (docs/tensorrt.md).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from agent.infer.gpu import FakeGpu, Gpu, read_gpu
from tests.harness.engines import ADA

LIBRARY = """
#include <string.h>
int cuInit(unsigned flags) { return INIT; }
int cuDriverGetVersion(int *version) { *version = 13020; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = 7; return ordinal == 0 ? DEVICE : 101; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  if (device != 7) return 101;
  *value = attribute == 75 ? MAJOR : attribute == 76 ? MINOR : -1;
  return 0;
}
int cuDeviceGetName(char *name, int length, int device) { strncpy(name, "NVIDIA RTX 4000 Ada", length); return 0; }
"""


def library(folder: Path, init: int = 0, device: int = 0, major: int = 8, minor: int = 9) -> str:
    source = folder / "cuda.c"
    source.write_text(LIBRARY)
    built = folder / f"libcuda-{init}-{device}-{major}{minor}.so"
    values = {"INIT": init, "DEVICE": device, "MAJOR": major, "MINOR": minor}
    defines = [f"-D{name}={value}" for name, value in values.items()]
    subprocess.run(["gcc", "-shared", "-fPIC", *defines, "-o", built, source], check=True, timeout=60)
    return str(built)


@pytest.fixture(params=["fake", "fake without", "library", "no library", "this box"])
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Gpu | None]]:
    if request.param == "fake":
        yield FakeGpu(ADA)
    elif request.param == "fake without":
        yield FakeGpu(None)
    elif request.param == "library":
        yield partial(read_gpu, library(tmp_path))
    elif request.param == "no library":
        yield partial(read_gpu, str(tmp_path / "libcuda.so.1"))
    else:
        yield read_gpu


def test_there_is_no_gpu_or_one_with_well_formed_facts(reader: Callable[[], Gpu | None]) -> None:
    gpu = reader()
    if gpu is None:
        return
    assert gpu.name
    assert re.fullmatch(r"sm\d{2,3}", gpu.capability)
    assert re.fullmatch(r"\d+\.\d+", gpu.cuda)
    assert re.fullmatch(r"\d{3,}\.\d+(\.\d+)*|unknown", gpu.driver)


def test_two_looks_say_the_same(reader: Callable[[], Gpu | None]) -> None:
    assert reader() == reader()


def test_the_library_s_answers_are_taken_apart_rightly(tmp_path: Path) -> None:
    gpu = read_gpu(library(tmp_path))
    assert gpu is not None
    assert (gpu.name, gpu.capability, gpu.cuda) == ("NVIDIA RTX 4000 Ada", "sm89", "13.2")
    blackwell = read_gpu(library(tmp_path, major=12, minor=0))
    assert blackwell is not None
    assert blackwell.capability == "sm120"


@pytest.mark.parametrize("broken", [{"init": 100}, {"device": 101}])
def test_a_driver_without_a_device_is_no_gpu(tmp_path: Path, broken: dict[str, int]) -> None:
    assert read_gpu(library(tmp_path, **broken)) is None


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\nGCC version: 12",
            "535.183.01",
        ),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build", "580.95.05"),
        ("575.57.08\n", "575.57.08"),
        ("", "unknown"),
    ],
)
def test_the_driver_s_version_is_found_in_what_the_kernel_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, version: str
) -> None:
    (tmp_path / "version").write_text(text)
    monkeypatch.setattr("agent.infer.gpu._KERNEL_MODULE", (tmp_path / "absent", tmp_path / "version"))
    gpu = read_gpu(library(tmp_path))
    assert gpu is not None
    assert gpu.driver == version

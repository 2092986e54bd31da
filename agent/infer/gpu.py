"""The GPU that CUDA would use, asked of the driver's own library without any package in between."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path

_LIBRARY = "libcuda.so.1"
_KERNEL_MODULE = (Path("/proc/driver/nvidia/version"), Path("/sys/module/nvidia/version"))
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_NAME_BYTES = 256
_DRIVER = re.compile(r"\b\d{3,}\.\d+(?:\.\d+)*\b")


@dataclass(frozen=True, slots=True)
class Gpu:
    """`capability` as "sm89"; `cuda` is the version that the driver speaks, `driver` the kernel module's own."""

    name: str
    capability: str
    cuda: str
    driver: str


def read_gpu(library: str = _LIBRARY) -> Gpu | None:
    """CUDA's device 0, or None where there is no driver or no device. Takes no memory on the GPU."""
    try:
        cuda = ctypes.CDLL(library)
    except OSError:
        return None
    if cuda.cuInit(0) != 0:
        return None
    version, major, minor, device = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(_NAME_BYTES)
    answers = (
        cuda.cuDriverGetVersion(ctypes.byref(version)),
        cuda.cuDeviceGet(ctypes.byref(device), 0),
        cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device),
        cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device),
        cuda.cuDeviceGetName(name, _NAME_BYTES, device),
    )
    if any(answers):
        return None
    return Gpu(
        name=name.value.decode(errors="replace"),
        capability=f"sm{major.value}{minor.value}",
        cuda=f"{version.value // 1000}.{version.value % 1000 // 10}",
        driver=_kernel_module() or "unknown",
    )


def _kernel_module() -> str | None:
    """The driver's version, of which libcuda does not speak."""
    for path in _KERNEL_MODULE:
        try:
            text = path.read_text()
        except OSError:
            continue
        if found := _DRIVER.search(text):
            return found[0]
    return None


class FakeGpu:
    """Stands in for `read_gpu`: tells of a GPU that tests choose, or of none."""

    def __init__(self, gpu: Gpu | None) -> None:
        self.gpu = gpu

    def __call__(self) -> Gpu | None:
        return self.gpu

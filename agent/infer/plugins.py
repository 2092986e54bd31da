"""Execution providers that come as packages of their own: found, registered with ONNX Runtime, and asked for their devices."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import logging
import threading
from collections.abc import Sequence

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from agent.infer.providers import CUDA, OPENVINO, TENSORRT, TENSORRT_RTX
from agent.infer.settings import Device

log = logging.getLogger(__name__)

_PACKAGE = {TENSORRT_RTX: "onnxruntime_ep_nv_tensorrt_rtx", OPENVINO: "onnxruntime_ep_openvino"}
_OF_DEVICE: dict[Device, str] = {"tensorrt-rtx": TENSORRT_RTX, "openvino": OPENVINO}
_registering = threading.Lock()
_registered: set[str] = set()  # ONNX Runtime keeps them for as long as the process lives


def available(device: Device) -> list[str]:
    """The providers of this ONNX Runtime, and the plug-in that `device` stands for where it offers hardware here.

    No other plug-in is loaded: they bring hundreds of megabytes of libraries into the process.
    """
    found = list(ort.get_available_providers())
    wanted = _OF_DEVICE.get(device)
    if wanted is not None and wanted not in found and devices(wanted):
        found.insert(0, wanted)
    return found


def devices(provider: str) -> list[ort.OrtEpDevice]:
    """What the plug-in of `provider` can run on; empty where it is not installed, does not load, or finds nothing."""
    if provider not in _PACKAGE or not _register(provider):
        return []
    return [device for device in ort.get_ep_devices() if device.ep_name == provider]


def preload(asked: Sequence[str]) -> None:
    """Load CUDA's libraries out of NVIDIA's packages beside ONNX Runtime, where its CUDA provider does not look by itself."""
    if CUDA not in asked and TENSORRT not in asked:
        return
    said = io.StringIO()
    with _registering, contextlib.redirect_stdout(said):
        ort.preload_dlls()
    if said.getvalue():
        log.info("loading CUDA's libraries: %s", " ".join(said.getvalue().split()))


def _register(provider: str) -> bool:
    package = _PACKAGE[provider]
    with _registering:
        if provider in _registered:
            return True
        if importlib.util.find_spec(package) is None:
            return False
        try:
            plugin = importlib.import_module(package)
            ort.register_execution_provider_library(provider, plugin.get_library_path())
        except (ImportError, OSError, AttributeError, ort_errors.Fail) as error:
            log.warning("the plug-in %s does not load: %s", package, error)
            return False
        _registered.add(provider)
        return True

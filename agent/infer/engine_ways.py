"""The two ways to TensorRT on a box: ONNX Runtime's own provider, and TensorRT-RTX by plug-in; what each lacks, and its version."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort

from agent.errors import BundleError, InferenceError
from agent.infer.engine_key import USUAL_BATCH, EngineKey, Way
from agent.infer.providers import CPU, CUDA, TENSORRT, TENSORRT_RTX

PROVIDER: Mapping[Way, str] = {"tensorrt": TENSORRT, "tensorrt-rtx": TENSORRT_RTX}
_NVINFER = "libnvinfer.so.10"
_PLUGIN_PACKAGE, _PLUGIN_LIBRARY = "onnxruntime_ep_nv_tensorrt_rtx", "libtensorrt_rtx.so.*.*.*"
_BUILDER = "tensorrt-rtx-cu13-libs"


def tensorrt_version(way: Way) -> str:
    """Of what runs this way's engines here, as engines depend on it; raises LookupError that says what is not installed."""
    if way == "tensorrt-rtx":
        return _plugin_version()
    if PROVIDER[way] not in ort.get_available_providers():
        raise LookupError(f"this ONNX Runtime has no {PROVIDER[way]}: install stethos[gpu]")
    try:
        number = ctypes.CDLL(_NVINFER).getInferLibVersion()
    except OSError as error:
        raise LookupError(f"{_NVINFER} is not installed: install TensorRT 10 ({error})") from error
    return f"{number} by onnxruntime {ort.__version__}"


def builder_missing(way: Way, version: str) -> str | None:
    """Why no engine that `version` runs can be built here, or None."""
    if way == "tensorrt":
        return None  # its provider builds by itself
    try:
        found = _first_three(importlib.metadata.version(_BUILDER))
    except importlib.metadata.PackageNotFoundError:
        return "TensorRT-RTX's builder is not installed: install stethos[tensorrt]"
    if found != version:
        return f"TensorRT-RTX's builder is {found}, its plug-in {version}: install stethos[tensorrt] with both alike"
    return None


def provider_options(key: EngineKey, window: tuple[int, int], cache: Path | None) -> dict[str, str]:
    """Of the provider that runs `key`'s engine, for windows of (channels, time); `cache` is the folder of its files.

    The shapes say what the engine was built for: without them the provider builds anew for each batch size that it has not met.
    """
    channels, time = window
    batches = {"min": 1, "opt": min(USUAL_BATCH, key.max_batch), "max": key.max_batch}
    prefix = "nv" if key.way == "tensorrt-rtx" else "trt"
    options = {
        f"{prefix}_profile_{name}_shapes": f"window:{batch}x{channels}x{time}" for name, batch in batches.items()
    }
    if cache is None:
        return options
    return options | {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(cache)}


def build_by_provider(model: bytes, key: EngineKey, window: tuple[int, int], folder: Path) -> None:
    """Have ONNX Runtime's TensorRT provider build `key`'s engine into `folder`, which it does on loading; for a process of its own.

    Raises InferenceError where TensorRT does not answer, BundleError where it takes no part of the model.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    provider, available = PROVIDER[key.way], ort.get_available_providers()
    if provider not in available:
        raise InferenceError(f"this ONNX Runtime has no {provider}")
    others = [name for name in (CUDA, CPU) if name in available]  # for what TensorRT leaves of the graph
    asked = [(provider, provider_options(key, window, folder)), *others]
    session = ort.InferenceSession(model, options, providers=asked)
    if session.get_providers()[0] != provider:
        raise InferenceError(f"{provider} does not answer: ONNX Runtime gave the model to {session.get_providers()[0]}")
    if not list(folder.glob("*.engine")):
        raise BundleError(f"{provider} takes no part of model.onnx; choose another [inference] device")
    for batch in (1, key.max_batch):  # the whole range, before anybody waits for it
        session.run(None, {"window": np.zeros((batch, *window), np.float32)})


def _plugin_version() -> str:
    """Its package carries TensorRT-RTX's library, whose file name states the version; loading it to ask would take 230 MB."""
    spec = importlib.util.find_spec(_PLUGIN_PACKAGE)
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    libraries = [path for folder in folders for path in Path(folder).glob(_PLUGIN_LIBRARY)]
    if not libraries:
        raise LookupError(
            "TensorRT-RTX's plug-in for ONNX Runtime is not installed: install onnxruntime-ep-nv-tensorrt-rtx-cu13"
        )
    return _first_three(libraries[0].name.partition(".so.")[2])


def _first_three(version: str) -> str:
    return ".".join(re.findall(r"\d+", version)[:3])

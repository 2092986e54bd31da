"""What each way to TensorRT lacks on a box, which version it has, and how its provider is told of an engine."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from pathlib import Path

import onnxruntime as ort
import pytest

from agent.infer.engine_key import MAX_BATCH
from agent.infer.engine_ways import builder_missing, provider_options, tensorrt_version
from tests.harness.engines import RTX_VERSION, engine_key


def test_an_onnx_runtime_without_tensorrt_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(LookupError, match=r"no TensorrtExecutionProvider: install stethos\[gpu\]"):
        tensorrt_version("tensorrt")


def test_a_tensorrt_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["TensorrtExecutionProvider"])
    monkeypatch.setattr("agent.infer.engine_ways._NVINFER", "libnvinfer-that-is-nowhere.so.10")
    with pytest.raises(LookupError, match="is not installed: install TensorRT 10"):
        tensorrt_version("tensorrt")


def test_a_plug_in_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.infer.engine_ways._PLUGIN_PACKAGE", "a_plug_in_that_is_nowhere")
    with pytest.raises(LookupError, match="install onnxruntime-ep-nv-tensorrt-rtx-cu13"):
        tensorrt_version("tensorrt-rtx")


def test_the_plug_in_s_version_is_that_of_the_library_that_it_carries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "onnxruntime_ep_nv_tensorrt_rtx"
    package.mkdir()
    (package / "__init__.py").touch()
    for name in ("libtensorrt_rtx.so", "libtensorrt_rtx.so.1", "libtensorrt_rtx.so.1.7.1", "libtensorrt_plugins.so"):
        (package / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", raising=False)
    importlib.invalidate_caches()
    assert tensorrt_version("tensorrt-rtx") == "1.7.1"


def test_a_builder_of_the_plug_in_s_version_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: f"{RTX_VERSION}.116")
    assert builder_missing("tensorrt-rtx", RTX_VERSION) is None
    told = builder_missing("tensorrt-rtx", "1.8.0")
    assert told is not None
    assert "builder is 1.7.1, its plug-in 1.8.0" in told


def test_a_builder_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    told = builder_missing("tensorrt-rtx", RTX_VERSION)
    assert told is not None
    assert "install stethos[tensorrt]" in told
    assert builder_missing("tensorrt", "101300 by onnxruntime 1.31.1") is None


def test_tensorrt_keeps_its_engine_in_the_folder_of_its_key_for_the_whole_range_of_batches() -> None:
    options = provider_options(engine_key(way="tensorrt"), (3, 8), Path("/state/engines/x"))
    assert options == {
        "trt_profile_min_shapes": "window:1x3x8",
        "trt_profile_opt_shapes": "window:16x3x8",
        "trt_profile_max_shapes": f"window:{MAX_BATCH}x3x8",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": "/state/engines/x",
    }


def test_the_plug_in_needs_no_folder() -> None:
    options = provider_options(engine_key(max_batch=8), (3, 8), None)
    assert options == {
        "nv_profile_min_shapes": "window:1x3x8",
        "nv_profile_opt_shapes": "window:8x3x8",
        "nv_profile_max_shapes": "window:8x3x8",
    }

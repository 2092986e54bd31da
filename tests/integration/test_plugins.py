"""Plug-in providers: what is not installed, does not load or offers no device is no provider, and says so once."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import pytest

from agent.infer import plugins
from agent.infer.bundle import open_bundle
from agent.infer.loading import load
from agent.infer.providers import OPENVINO, TENSORRT_RTX
from agent.infer.settings import Device, InferenceSettings
from tests.harness.bundles import PUBLIC, golden, tiny_bundle

NAMED: list[tuple[Device, str]] = [("openvino", OPENVINO), ("tensorrt-rtx", TENSORRT_RTX)]


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_registered", set())


def pretend(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Packages of the plug-ins' names that consist of `code`."""
    for index, package in enumerate(plugins._PACKAGE.values()):
        name = f"pretended_{folder.name.replace('-', '_')}_{index}"
        (folder / f"{name}.py").write_text(code)
        provider = next(provider for provider, found in plugins._PACKAGE.items() if found == package)
        monkeypatch.setitem(plugins._PACKAGE, provider, name)
    monkeypatch.syspath_prepend(folder)


@pytest.mark.parametrize(("device", "provider"), NAMED)
def test_one_that_is_not_installed_is_no_provider(
    monkeypatch: pytest.MonkeyPatch, device: Device, provider: str
) -> None:
    monkeypatch.setitem(plugins._PACKAGE, provider, "no_such_package_anywhere")
    assert plugins.devices(provider) == []
    assert provider not in plugins.available(device)


@pytest.mark.parametrize(("device", "provider"), NAMED)
@pytest.mark.parametrize(
    "code",
    [
        "def get_library_path(): return '/nonexistent/libplugin.so'",
        "def get_library_path(): raise FileNotFoundError('the package is incomplete')",
        "raise ImportError('libsomething.so is missing')",
        "",
    ],
)
def test_one_that_does_not_load_is_no_provider_and_the_log_says_why(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    device: Device,
    provider: str,
    code: str,
) -> None:
    pretend(monkeypatch, tmp_path, code)
    with caplog.at_level(logging.WARNING):
        assert provider not in plugins.available(device)
    assert "does not load" in caplog.text


def test_the_devices_that_are_not_named_load_no_plug_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, tmp_path, "raise AssertionError('this brings hundreds of megabytes')")
    for device in ("auto", "cpu", "cuda", "tensorrt"):
        assert "CPUExecutionProvider" in plugins.available(device)


@pytest.mark.parametrize(("device", "provider"), NAMED)
def test_a_model_runs_on_the_cpu_where_there_is_none_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, device: Device, provider: str
) -> None:
    monkeypatch.setitem(plugins._PACKAGE, provider, "no_such_package_anywhere")
    loaded = load(open_bundle(tiny_bundle(), [PUBLIC]), InferenceSettings(device=device))
    assert loaded.provider == "CPUExecutionProvider"
    assert loaded.degraded is not None
    assert loaded.degraded.startswith(
        f"degraded: running on the CPU (CPUExecutionProvider), {provider} was wanted; install "
    )
    loaded.score(golden().windows)


@pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime_ep_openvino") is None, reason="onnxruntime-ep-openvino is not installed"
)
def test_the_real_plug_in_of_openvino_gives_its_devices_or_none() -> None:
    loaded = load(open_bundle(tiny_bundle(), [PUBLIC]), InferenceSettings(device="openvino"))
    offered = plugins.devices(OPENVINO)
    assert all(device.ep_name == OPENVINO for device in offered)
    assert loaded.provider == (OPENVINO if offered else "CPUExecutionProvider")
    assert (loaded.degraded is None) == bool(offered)
    loaded.score(golden().windows)

"""What a person is told of TensorRT engines before the agent runs, by `stethos doctor` among others."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config.check import check
from agent.doctor import Finding, examine
from agent.infer.bundle import Bundle, open_bundle
from agent.infer.engine_cache import EngineCache
from agent.infer.engine_options import ENGINE_FILE, EngineOptions, key_of, refuse
from agent.infer.engine_prospect import Prospect, prospect
from agent.infer.gpu import FakeGpu, Gpu, read_gpu
from agent.infer.settings import Device, InferenceSettings
from tests.harness.agent_folder import AgentFolder
from tests.harness.bundles import PUBLIC, tiny_bundle
from tests.harness.engines import ADA, RTX_VERSION

BUNDLE = open_bundle(tiny_bundle(), [PUBLIC])


def told(
    folder: Path, gpu: Gpu | None = ADA, version: str = RTX_VERSION, device: Device = "tensorrt-rtx"
) -> Prospect | None:
    return prospect(BUNDLE, InferenceSettings(device=device, cache=folder), FakeGpu(gpu), lambda _: version)


def key(bundle: Bundle = BUNDLE):
    return key_of(bundle, "tensorrt-rtx", FakeGpu(ADA), lambda _: RTX_VERSION)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "openvino"])
def test_nothing_is_said_where_no_engine_is_asked_for(tmp_path: Path, device: Device) -> None:
    assert told(tmp_path, device=device) is None


def test_an_engine_that_is_not_built_yet_is_no_fault(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: stethos[tensorrt], x86-64 alone")
    found = told(tmp_path)
    assert found is not None
    assert "for sm89 is not built yet" in found.what
    assert found.remedy == ""


def test_an_engine_that_is_there_is_well(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "engines")
    with cache.begin() as folder:
        (folder / ENGINE_FILE).write_bytes(b"an engine")
        cache.adopt(key(), folder)
    assert told(tmp_path) == Prospect("its TensorRT engine for sm89 is ready")


def test_an_engine_that_was_refused_tells_why_and_how_to_have_it_tried_again(tmp_path: Path) -> None:
    refuse(
        EngineOptions(key(), "p", {}, b""), InferenceSettings(device="tensorrt-rtx", cache=tmp_path), "it misses them"
    )
    found = told(tmp_path)
    assert found is not None
    assert found.what == "its TensorRT engine for sm89 was refused: it misses them"
    assert str(tmp_path / "engines" / key().name) in found.remedy


@pytest.mark.parametrize(
    ("gpu", "version", "why"),
    [
        (None, RTX_VERSION, "it gets no TensorRT engine: no NVIDIA GPU answers"),
        (Gpu("H100", "sm90", "13.0", "580"), RTX_VERSION, "no engines for SM90"),
        (ADA, "1.6.2", "cannot be built: TensorRT-RTX's builder is"),
    ],
)
def test_what_keeps_a_box_from_having_one_is_said_with_a_remedy(
    tmp_path: Path, gpu: Gpu | None, version: str, why: str
) -> None:
    found = told(tmp_path, gpu, version)
    assert found is not None
    assert why in found.what
    assert found.remedy


def test_another_user_s_look_refuses_nothing_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    settings = InferenceSettings(device="tensorrt-rtx", cache=tmp_path)
    refuse(EngineOptions(key(), "p", {}, b""), settings, "it misses them")
    assert not (tmp_path / "engines").exists()


def test_doctor_says_it_of_every_machine(tmp_path: Path) -> None:
    if read_gpu() is not None:
        pytest.skip("this box has an NVIDIA GPU, what is said depends on it")
    agent = AgentFolder(tmp_path)
    agent.text += '\n[inference]\ndevice = "tensorrt-rtx"\n'
    agent.write()
    findings: list[Finding] = list(examine(check(agent.config, list), list, lambda *_: None))
    (found,) = [each for each in findings if "TensorRT engine" in each.what]
    assert found.where == "machine pump-1"
    assert "no NVIDIA GPU answers" in found.what
    assert not found.well

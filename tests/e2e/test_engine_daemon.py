"""The real daemon builds an engine for a GPU that it believes to have: driver and plug-in are stand-ins, builder, child and cache are not.

The plug-in that stands in runs nothing, so that the engine is refused in the end and the processor serves on: what no test here can show is its run.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from agent.infer.providers import CPU
from tests.contract.test_gpu import library
from tests.harness.agent_folder import AgentFolder
from tests.harness.daemon import Daemon

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: stethos[tensorrt], x86-64 alone")


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AgentFolder:
    """A box whose driver tells of an RTX 4000 Ada, with a plug-in that carries TensorRT-RTX 1.7.1 and offers no device."""
    driver, plugin = tmp_path / "driver", tmp_path / "packages" / "onnxruntime_ep_nv_tensorrt_rtx"
    driver.mkdir()
    plugin.mkdir(parents=True)
    Path(library(driver)).rename(driver / "libcuda.so.1")
    (plugin / "__init__.py").write_text("def get_library_path():\n    raise OSError('this plug-in stands in')\n")
    (plugin / "libtensorrt_rtx.so.1.7.1").write_bytes(b"")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(driver))
    monkeypatch.setenv("PYTHONPATH", str(plugin.parent))
    (tmp_path / "agent").mkdir()
    agent = AgentFolder(tmp_path / "agent")
    agent.text += '\n[inference]\ndevice = "tensorrt-rtx"\n'
    agent.write()
    return agent


def run_until_told(agent: AgentFolder) -> str:
    """The log of a run up to the engine's end."""
    with Daemon(agent.config) as daemon:
        until = time.monotonic() + 100
        while "gets no TensorRT engine" not in daemon.log:
            assert time.monotonic() < until, daemon.log
            assert daemon.running, daemon.log
            time.sleep(0.05)
        assert daemon.terminate() == 0, daemon.log
    log = daemon.log
    daemon.log_path.unlink()
    return log


def test_the_daemon_builds_an_engine_while_the_processor_serves_and_keeps_it_for_the_next_start(
    agent: AgentFolder,
) -> None:
    log = run_until_told(agent)
    assert "building the TensorRT engine of pump-1 for sm89, attempt 1" in log
    assert "building the TensorRT engine of pump-1: 100 %" in log
    assert log.index("running: ") < log.index("gets no TensorRT engine")
    assert f"pump-1 gets no TensorRT engine, {CPU} serves: " in log
    (folder,) = agent.folder.glob("state/**/engines/*")
    assert {path.name for path in folder.iterdir()} == {"engine.rtx", "entry.json"}
    entry = json.loads((folder / "entry.json").read_bytes())
    assert entry["key"]["capability"] == "sm89"
    assert entry["key"]["cuda"] == "13.2"

    assert "building" not in run_until_told(agent)
    (same,) = agent.folder.glob("state/**/engines/*")
    assert same == folder

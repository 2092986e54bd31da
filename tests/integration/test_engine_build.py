"""Engines built for real by TensorRT-RTX, for GPUs that are not here: in this process, and in the child that the box uses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from agent.errors import BundleError, ConfigError, InferenceError
from agent.infer import engine_rtx
from agent.infer.engine_build import Limits, Task, build_engine
from agent.types import NANOSECONDS
from export import to_onnx, to_tensorrt
from tests.harness.broker import wait_until
from tests.harness.bundles import CHANNELS, TIME, energy_model
from tests.harness.engines import engine_key
from tests.harness.training import fitted

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: stethos[tensorrt], x86-64 alone")

ONNX = energy_model()
TASK = Task(engine_key(), ONNX, (CHANNELS, TIME))


def unknown_operator() -> bytes:
    node = helper.make_node("Det", ["window"], ["score"], name="the_determinant")
    window = helper.make_tensor_value_info("window", TensorProto.FLOAT, ["batch", 3, 3])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"])
    graph = helper.make_graph([node], "tiny", [window], [score])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


def test_an_engine_is_built_for_each_capability_asked_for() -> None:
    told: list[tuple[str, float]] = []
    built = to_tensorrt.engines(ONNX, ["SM89", "120", "sm_86", "SM89"], progress=lambda *each: told.append(each))
    assert list(built) == ["sm89", "sm120", "sm86"]
    assert len(set(built.values())) == 3
    assert all(len(engine) > 1000 for engine in built.values())
    assert [name for name, part in told if part == 1.0] == ["sm89", "sm120", "sm86"]
    for name in built:
        parts = [part for each, part in told if each == name]
        assert parts == sorted(parts)


def test_the_manifest_says_of_an_engine_what_it_was_built_from() -> None:
    facts = to_tensorrt.facts(ONNX, {"sm89": b""}, max_batch=64)
    assert facts["sm89"].tensorrt_rtx == "1.7.1"
    assert (facts["sm89"].capability, facts["sm89"].max_batch) == ("sm89", 64)
    assert len(facts["sm89"].model_sha256) == 64


def test_an_unknown_capability_is_refused_before_anything_is_built() -> None:
    told: list[str] = []
    with pytest.raises(ConfigError, match=r"no engines for SM90 .*nearest that it builds for is SM89"):
        to_tensorrt.engines(ONNX, ["SM86", "SM90"], progress=lambda name, _: told.append(name))
    assert told == []


def test_without_the_wheel_it_is_said_which_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(ConfigError, match=r"install stethos\[tensorrt\]"):
        to_tensorrt.engines(ONNX, ["SM86"])


def test_an_operator_that_it_does_not_know_is_named_with_its_node() -> None:
    with pytest.raises(BundleError, match=r"node the_determinant \(Det\): "):
        engine_rtx.build(unknown_operator(), "sm89")


@pytest.mark.parametrize("data", [b"", b"no model", ONNX[:100]])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"model\.onnx"):
        engine_rtx.build(data, "sm89")


def test_a_gpu_that_lacks_an_operation_is_named_with_node_and_reason() -> None:
    """Turing multiplies no float32 matrices in TensorRT-RTX."""
    node = helper.make_node("MatMul", ["window", "weights"], ["score"], name="the_product")
    window = helper.make_tensor_value_info("window", TensorProto.FLOAT, ["batch", 8, 64])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", 8, 64])
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [64, 64], [0.5] * 64 * 64)
    graph = helper.make_graph([node], "tiny", [window], [score], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    with pytest.raises(BundleError, match=r"for SM75 at node the_product: .*FP32 GEMM is not supported"):
        engine_rtx.build(model, "sm75")
    assert engine_rtx.build(model, "sm89")


@pytest.mark.parametrize("family", ["conv-autoencoder", "gru-autoencoder", "patch-transformer"])
def test_families_of_each_kind_are_taken(family: str) -> None:
    graph = to_onnx.convert(fitted(family, CHANNELS, 32), CHANNELS, 32)
    assert len(engine_rtx.build(graph.data, "sm120")) > 1000


def test_the_child_builds_the_engine_into_the_folder_and_tells_how_far_it_is(tmp_path: Path) -> None:
    told: list[float] = []
    assert build_engine(TASK, tmp_path, threading.Event(), told.append)
    assert [path.name for path in tmp_path.iterdir()] == ["engine.rtx"]
    assert (tmp_path / "engine.rtx").stat().st_size > 1000
    assert told[-1] == 1.0
    assert told == sorted(told)


def test_the_child_s_refusal_is_the_model_s_fault(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="the_determinant"):
        build_engine(Task(engine_key(), unknown_operator(), (3, 3)), tmp_path, threading.Event())


def test_an_onnx_runtime_without_tensorrt_is_a_failed_attempt_and_not_the_model_s_fault(tmp_path: Path) -> None:
    if "TensorrtExecutionProvider" in ort.get_available_providers():
        pytest.skip("this ONNX Runtime may have TensorRT")
    task = Task(engine_key(way="tensorrt"), ONNX, (CHANNELS, TIME))
    with pytest.raises(InferenceError, match=r"exit code 1: this ONNX Runtime has no TensorrtExecutionProvider$"):
        build_engine(task, tmp_path, threading.Event())


def in_background(tmp_path: Path, limits: Limits | None = None) -> tuple[threading.Event, Callable[[], object]]:
    """A build in a thread, as the agent has it; the call at the end gives its outcome."""
    stop, outcome = threading.Event(), []

    def body() -> None:
        try:
            outcome.append(build_engine(TASK, tmp_path, stop, limits=limits or Limits()))
        except (BundleError, InferenceError) as error:
            outcome.append(error)

    thread = threading.Thread(target=body)
    thread.start()

    def ended() -> object:
        thread.join(100)
        assert not thread.is_alive()
        return outcome[0]

    return stop, ended


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """The process that builds, once it runs; it may be gone again by then."""
    started: list[int] = []
    start = subprocess.Popen

    def noted(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = start(*arguments, **options)
        started.append(process.pid)
        return process

    monkeypatch.setattr(subprocess, "Popen", noted)

    def once_started() -> int:
        wait_until(lambda: bool(started), 30, "the child")
        return started[0]

    return once_started


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


def test_a_child_that_is_killed_is_a_failed_attempt_and_says_by_what(tmp_path: Path, child: Callable[[], int]) -> None:
    _, ended = in_background(tmp_path)
    os.kill(child(), signal.SIGKILL)
    found = ended()
    assert isinstance(found, InferenceError)
    assert "ended by SIGKILL" in str(found)


def test_a_stop_ends_the_child_at_once(tmp_path: Path, child: Callable[[], int]) -> None:
    stop, ended = in_background(tmp_path)
    pid = child()
    stop.set()
    assert ended() is False
    assert not alive(pid)


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path, child: Callable[[], int]) -> None:
    _, ended = in_background(tmp_path, Limits(timeout_ns=NANOSECONDS // 100))
    pid = child()
    found = ended()
    assert isinstance(found, InferenceError)
    assert "not built within 0.01 s" in str(found)
    assert not alive(pid)


def test_a_child_that_takes_too_much_memory_is_ended(tmp_path: Path, child: Callable[[], int]) -> None:
    _, ended = in_background(tmp_path, Limits(memory_bytes=4 * 1024 * 1024))
    pid = child()
    found = ended()
    assert isinstance(found, InferenceError)
    assert "more than 4 MiB of memory" in str(found)
    assert not alive(pid)


def test_a_child_that_cannot_write_is_a_failed_attempt(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match=r"exit code 1.*No such file or directory"):
        build_engine(TASK, tmp_path / "gone", threading.Event())


def test_the_child_yields_to_the_rest_of_the_box(tmp_path: Path, child: Callable[[], int]) -> None:
    _, ended = in_background(tmp_path)
    pid, niceness = child(), 0
    until = time.monotonic() + 30
    while niceness != 10 and time.monotonic() < until and alive(pid):
        niceness = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[16])
    assert niceness == 10
    assert ended() is True


AGENT = """
import sys, threading
from pathlib import Path
from agent.infer.engine_build import Task, build_engine
from tests.harness.bundles import CHANNELS, TIME, energy_model
from tests.harness.engines import engine_key
from tests.harness.training import fitted
print("ready", flush=True)
while True:
    build_engine(Task(engine_key(), energy_model(), (CHANNELS, TIME)), Path(sys.argv[1]), threading.Event())
"""


def test_the_child_dies_with_the_agent(tmp_path: Path) -> None:
    agent = subprocess.Popen([sys.executable, "-c", AGENT, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert agent.stdout is not None
        agent.stdout.readline()
        pid, until = None, time.monotonic() + 60
        while pid is None and time.monotonic() < until:
            found = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
            pid = int(found[0]) if found and _asked_to_die(int(found[0])) else None
        assert pid is not None
    finally:
        agent.kill()
        agent.wait(30)
        agent.stdout.close()
    until = time.monotonic() + 30
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert not alive(pid)


def _asked_to_die(pid: int) -> bool:
    """Once it is nice it has asked the kernel to end it with its parent, which comes before."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[16]) == 10
    except OSError:
        return False

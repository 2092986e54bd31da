"""ONNX Runtime itself: what a session refuses at load, and how a stuck run is stopped."""

from __future__ import annotations

import threading
from dataclasses import replace

import msgspec
import numpy as np
import onnxruntime as ort
import pytest

from agent.clock import FakeClock
from agent.errors import BundleError, InferenceError
from agent.infer import plugins
from agent.infer.binding import Binding, bind
from agent.infer.bundle import Bundle, open_bundle, pack
from agent.infer.golden import GoldenVectors, golden_bytes
from agent.infer.opening import open_session
from agent.infer.placement import Placement
from agent.infer.session import Session
from agent.infer.settings import InferenceSettings
from agent.types import NANOSECONDS
from tests.harness.bundles import (
    CHANNELS,
    KEY,
    PUBLIC,
    TIME,
    batch_of_one_model,
    energy_model,
    entries,
    golden,
    manifest,
    slow_model,
)

CPU = InferenceSettings(device="cpu")


def opened(**changes: bytes) -> Bundle:
    return open_bundle(pack(entries(**changes), [KEY]), [PUBLIC])


def off_by(amount: float) -> bytes:
    vectors = golden()
    score = vectors.score.copy()
    score[2] += np.float32(amount)
    return golden_bytes(GoldenVectors(vectors.windows, score, vectors.channel_score))


def test_the_session_says_what_it_runs_on() -> None:
    session = Session(opened())
    assert session.provider
    assert session.degraded is None


def test_golden_vectors_that_are_missed_name_the_worst_deviation() -> None:
    with pytest.raises(
        BundleError, match=r"misses its golden vectors on CPUExecutionProvider, 4 at once: score\[2\] is"
    ):
        Session(opened(golden=off_by(0.1)), CPU)


def test_every_batch_size_is_held_against_the_golden_vectors() -> None:
    with pytest.raises(
        BundleError, match=r"misses its golden vectors on CPUExecutionProvider, 1 at once: score\[0\] is"
    ):
        Session(opened(model=batch_of_one_model()), CPU)


def test_golden_vectors_within_tolerance_pass() -> None:
    Session(opened(golden=off_by(1e-5)), CPU)


def test_the_tolerance_is_the_manifests() -> None:
    loose = msgspec.structs.replace(manifest().golden, absolute_tolerance=0.2)
    Session(opened(golden=off_by(0.1), manifest=msgspec.json.encode(manifest(golden=loose))), CPU)


def test_a_model_that_fails_on_its_golden_vectors_is_refused() -> None:
    vectors = golden()
    vectors.windows[1] = 1e30
    with pytest.raises(BundleError, match=r"score\[1\] is nan"):
        Session(opened(golden=golden_bytes(vectors)), CPU)


def test_a_graph_that_this_runtime_cannot_load_is_refused() -> None:
    with pytest.raises(BundleError, match=r"cannot load model\.onnx"):
        Session(opened(model=energy_model().replace(b"ReduceMax", b"ReduceMix")), CPU)


def test_outputs_of_other_names_are_refused() -> None:
    with pytest.raises(BundleError, match=r"model\.onnx has \['channels', 'result', 'window'\]"):
        Session(opened(model=energy_model(outputs=("result", "channels"))), CPU)


@pytest.mark.parametrize(("channels", "time"), [(CHANNELS + 1, TIME), (CHANNELS, TIME + 1)])
def test_a_graph_of_another_shape_is_refused(channels: int, time: int) -> None:
    with pytest.raises(BundleError, match="window is tensor"):
        Session(opened(model=energy_model(channels, time)), CPU)


def test_a_required_accelerator_that_this_build_lacks_is_named() -> None:
    with pytest.raises(InferenceError, match="requires TensorrtExecutionProvider"):
        Session(opened(), InferenceSettings(device="tensorrt", required=True))


def test_an_accelerator_that_is_only_wished_for_degrades_to_the_processor() -> None:
    session = Session(opened(), InferenceSettings(device="tensorrt"))
    assert session.degraded is not None
    assert "TensorrtExecutionProvider was wanted" in session.degraded


def test_an_overdue_run_is_stopped_and_the_session_goes_on() -> None:
    clock = FakeClock()
    session = Session(opened(model=slow_model()), replace(CPU, deadline_ns=5 * NANOSECONDS), clock)
    stuck = golden().windows.copy()
    stuck[:, 0, 0] = 2e9  # rounds: minutes
    raised: list[BaseException] = []

    def score() -> None:
        try:
            session.score(stuck)
        except InferenceError as error:
            raised.append(error)

    thread = threading.Thread(target=score)
    thread.start()
    tick = threading.Event()
    in_time = any(
        session.enforce_deadline(clock.monotonic_ns() + 5 * NANOSECONDS) or tick.wait(0.01) for _ in range(10)
    )
    stopped = any(
        session.enforce_deadline(clock.monotonic_ns() + 6 * NANOSECONDS) or tick.wait(0.01) for _ in range(6000)
    )
    thread.join(60)
    assert not thread.is_alive()
    assert (in_time, stopped) == (False, True)
    assert [str(error) for error in raised] == ["the model overran its deadline of 5 s and was stopped"]
    score_again, _ = session.score(golden().windows)
    np.testing.assert_allclose(score_again, golden().score, rtol=1e-5)


def test_a_model_whose_golden_vectors_never_end_is_refused_when_it_is_loaded() -> None:
    vectors = golden()
    vectors.windows[:, 0, 0] = 2e9  # rounds: minutes
    clock, raised = FakeClock(), []

    def prove() -> None:
        try:
            Session(opened(model=slow_model(), golden=golden_bytes(vectors)), CPU, clock)
        except BundleError as error:
            raised.append(str(error))

    thread = threading.Thread(target=prove)
    thread.start()
    tick = threading.Event()
    for _ in range(6000):
        clock.advance(61 * NANOSECONDS)
        if not thread.is_alive() or tick.wait(0.01):
            break
    thread.join(60)
    assert not thread.is_alive()
    assert raised == [
        "the golden vectors do not run: the model overran its deadline of 60 s and was stopped; export the bundle again"
    ]


class Overwritten:
    """A binding whose run is right once and wrong from then on, as a graph is that reads memory of which another made use."""

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        self._ran = False

    def run(self, windows: np.ndarray, options: ort.RunOptions) -> tuple[np.ndarray, np.ndarray]:
        score, channel_score = self._binding.run(windows, options)
        score, self._ran = score + self._ran, True
        return score, channel_score


class TestCudaGraphs:
    """What is decided about them, with sessions on the CPU that stand in for those on a GPU."""

    CUDA = "CUDAExecutionProvider"

    @pytest.fixture
    def tried(self, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
        """Whether each session that was opened was to capture graphs; none of them can be on a GPU."""
        found: list[bool] = []

        def on_cpu(model: bytes, asked: object, threads: int, options: dict[str, dict[str, str]]) -> object:
            found.append(options.get(self.CUDA, {}).get("enable_cuda_graph") == "1")
            if found[-1] and self.refuses:
                raise BundleError("not all nodes are on the GPU")
            return open_session(model, ["CPUExecutionProvider"], threads, {})

        monkeypatch.setattr(plugins, "available", lambda _device: [self.CUDA, "CPUExecutionProvider"])
        monkeypatch.setattr("agent.infer.session.open_session", on_cpu)
        return found

    refuses = False

    def test_graphs_are_tried_and_where_they_do_not_work_the_model_runs_without(
        self, tried: list[bool], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(TestCudaGraphs, "refuses", True)
        session = Session(opened(), InferenceSettings(device="cuda"))
        assert tried == [True, False]
        assert not session.captures
        np.testing.assert_allclose(session.score(golden().windows)[0], golden().score, rtol=1e-5)

    def test_graphs_that_give_something_else_are_not_replayed(
        self, tried: list[bool], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def one_is_spoilt(session: ort.InferenceSession, size: int, channels: int, time: int) -> Binding:
            of = bind(session, size, channels, time)
            return Overwritten(of) if tried[-1] and size == 1 else of

        monkeypatch.setattr("agent.infer.session.bind", one_is_spoilt)
        session = Session(opened(), InferenceSettings(device="cuda"))
        assert (tried, session.captures) == ([True, False], False)
        np.testing.assert_allclose(session.score(golden().windows[:1])[0], golden().score[:1], rtol=1e-5)

    def test_a_fallback_to_the_cpu_captures_nothing_and_is_told(self, tried: list[bool]) -> None:
        session = Session(opened(), InferenceSettings(device="cuda"))
        assert tried == [True]
        assert not session.captures
        assert session.degraded is not None
        assert "running on the CPU" in session.degraded
        with pytest.raises(InferenceError, match="running on the CPU"):
            Session(opened(), InferenceSettings(device="cuda", required=True))

    def test_a_capture_that_is_spoilt_later_costs_no_window(self) -> None:
        session = Session(opened(), CPU)
        session.captures = True
        session.placement = Placement({self.CUDA: 3, "CPUExecutionProvider": 1}, {"Shape": 1})
        assert session.degraded is None
        graphs = []

        class Spoilt:
            def __init__(self, binding: Binding) -> None:
                self._binding = binding

            def run(self, windows: np.ndarray, options: ort.RunOptions) -> object:
                graphs.append(options.get_run_config_entry("gpu_graph_id"))
                if graphs[-1] != "-1":
                    raise RuntimeError("operation not permitted when stream is capturing")
                return self._binding.run(windows, options)

        session._bindings = {size: Spoilt(binding) for size, binding in session._bindings.items()}
        for _ in range(2):
            np.testing.assert_allclose(session.score(golden().windows)[0], golden().score, rtol=1e-5)
        assert graphs == ["4", "-1", "-1"]
        assert session.degraded is not None
        assert "left 1 operators to the CPU: 1 Shape" in session.degraded
        assert session.counters == {}

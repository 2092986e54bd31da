"""ONNX Runtime itself: what a session refuses at load, and how a stuck run is stopped."""

from __future__ import annotations

import threading

import msgspec
import numpy as np
import pytest

from agent.clock import FakeClock
from agent.errors import BundleError, InferenceError
from agent.infer.bundle import Bundle, GoldenVectors, golden_bytes, open_bundle, pack
from agent.infer.session import Session
from agent.types import NANOSECONDS
from tests.harness.bundles import CHANNELS, KEY, PUBLIC, TIME, energy_model, entries, golden, manifest, slow_model


def opened(**changes: bytes) -> Bundle:
    return open_bundle(pack(entries(**changes), KEY), [PUBLIC])


def off_by(amount: float) -> bytes:
    vectors = golden()
    score = vectors.score.copy()
    score[2] += np.float32(amount)
    return golden_bytes(GoldenVectors(vectors.windows, score, vectors.channel_score))


def test_the_session_says_what_it_runs_on() -> None:
    session = Session(opened(), "auto")
    assert session.provider
    assert session.degraded is None


def test_golden_vectors_that_are_missed_name_the_worst_deviation() -> None:
    with pytest.raises(BundleError, match=r"misses its golden vectors on CPUExecutionProvider: score\[2\] is"):
        Session(opened(golden=off_by(0.1)), "cpu")


def test_golden_vectors_within_tolerance_pass() -> None:
    Session(opened(golden=off_by(1e-5)), "cpu")


def test_the_tolerance_is_the_manifests() -> None:
    loose = msgspec.structs.replace(manifest().golden, absolute_tolerance=0.2)
    Session(opened(golden=off_by(0.1), manifest=msgspec.json.encode(manifest(golden=loose))), "cpu")


def test_a_model_that_fails_on_its_golden_vectors_is_refused() -> None:
    vectors = golden()
    vectors.windows[1] = 1e30
    with pytest.raises(BundleError, match=r"score\[1\] is nan"):
        Session(opened(golden=golden_bytes(vectors)), "cpu")


def test_bytes_that_are_no_model_are_refused() -> None:
    with pytest.raises(BundleError, match=r"cannot load model\.onnx"):
        Session(opened(model=b"not a model"), "cpu")


def test_outputs_of_other_names_are_refused() -> None:
    with pytest.raises(BundleError, match=r"model\.onnx has \['channels', 'result', 'window'\]"):
        Session(opened(model=energy_model(outputs=("result", "channels"))), "cpu")


@pytest.mark.parametrize(("channels", "time"), [(CHANNELS + 1, TIME), (CHANNELS, TIME + 1)])
def test_a_graph_of_another_shape_is_refused(channels: int, time: int) -> None:
    with pytest.raises(BundleError, match="window is tensor"):
        Session(opened(model=energy_model(channels, time)), "cpu")


def test_a_required_accelerator_that_this_build_lacks_is_named() -> None:
    with pytest.raises(InferenceError, match="requires TensorrtExecutionProvider"):
        Session(opened(), "tensorrt", required=True)


def test_an_accelerator_that_is_only_wished_for_degrades_to_the_processor() -> None:
    session = Session(opened(), "tensorrt")
    assert session.degraded is not None
    assert "TensorrtExecutionProvider was wanted" in session.degraded


def test_an_overdue_run_is_stopped_and_the_session_goes_on() -> None:
    clock = FakeClock()
    session = Session(opened(model=slow_model()), "cpu", deadline_ns=5 * NANOSECONDS, clock=clock)
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
        session.enforce_deadline(clock.monotonic_ns() + 6 * NANOSECONDS) or tick.wait(0.01) for _ in range(1000)
    )
    thread.join(20)
    assert not thread.is_alive()
    assert (in_time, stopped) == (False, True)
    assert [str(error) for error in raised] == ["the model overran its deadline of 5 s and was stopped"]
    score_again, _ = session.score(golden().windows)
    np.testing.assert_allclose(score_again, golden().score, rtol=1e-5)

"""A model in a process of its own: whatever becomes of that process is an InferenceError here, and it is started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.clock import FakeClock, SystemClock
from agent.errors import BundleError, DeadlineError, InferenceError
from agent.infer.bundle import Bundle, open_bundle, pack
from agent.infer.isolated import Isolated
from agent.infer.loading import load
from agent.infer.session import Session
from agent.infer.settings import InferenceSettings
from agent.types import NANOSECONDS, Float32Array
from tests.harness.broker import wait_until
from tests.harness.bundles import CHANNELS, KEY, PUBLIC, TIME, energy_model, entries, golden, slow_model

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = InferenceSettings(device="cpu", isolate=True)


def opened(**changes: bytes) -> Bundle:
    return open_bundle(pack(entries(**changes), [KEY]), [PUBLIC])


def stuck_windows() -> Float32Array:
    windows = golden().windows.copy()
    windows[:, 0, 0] = 2e9  # rounds of the slow model: minutes
    return windows


@pytest.fixture
def scorer() -> Iterator[Isolated]:
    found = load(opened(), SETTINGS)
    assert isinstance(found, Isolated)
    yield found
    found.close()


def scored_again(scorer: Isolated) -> tuple[Float32Array, list[str]]:
    """Its first score after a crash, and what it said before."""
    said = []
    for _ in range(6_000):
        try:
            return scorer.score(golden().windows)[0], said
        except InferenceError as error:
            said.append(str(error))
            time.sleep(0.01)
    raise AssertionError(f"it never came back: {said[-1]}")


def test_it_gives_what_a_session_here_gives_and_says_the_same_of_itself(scorer: Isolated) -> None:
    here = Session(opened(), replace(SETTINGS, isolate=False))
    windows = np.random.default_rng(3).normal(size=(300, CHANNELS, TIME)).astype(np.float32)
    for got, wanted in zip(scorer.score(windows), here.score(windows), strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert (scorer.provider, scorer.variant, scorer.placement) == (here.provider, here.variant, here.placement)
    assert (scorer.degraded, scorer.failure, scorer.counters) == (None, None, {})
    assert scorer.latency is not None
    assert 0 < scorer.latency.median_ms <= scorer.latency.worst_ms
    assert scorer.process_id not in {None, os.getpid()}


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_crash_is_an_error_that_names_the_signal_and_the_process_comes_back(
    scorer: Isolated, number: signal.Signals
) -> None:
    first = scorer.process_id
    assert first is not None
    os.kill(first, number)
    with pytest.raises(InferenceError, match=f"was ended by {number.name}"):
        scorer.score(golden().windows)
    assert scorer.failure is not None
    assert number.name in scorer.failure
    score, _ = scored_again(scorer)
    np.testing.assert_allclose(score, golden().score, rtol=1e-5)
    assert scorer.counters == {"crashes": 1, "restarts": 1}
    assert scorer.failure is None
    assert scorer.process_id != first


def test_a_crash_in_the_middle_of_a_run_does_not_hang_the_caller() -> None:
    scorer = Isolated(opened(model=slow_model()), SETTINGS)
    raised: list[InferenceError] = []

    def score() -> None:
        try:
            scorer.score(stuck_windows())
        except InferenceError as error:
            raised.append(error)

    thread = threading.Thread(target=score)
    thread.start()
    wait_until(lambda: scorer._run is not None, 30, "the run")
    assert scorer.process_id is not None
    os.kill(scorer.process_id, signal.SIGSEGV)
    thread.join(30)
    scorer.close()
    assert not thread.is_alive()
    assert [str(error) for error in raised] == ["the model's process was ended by SIGSEGV"]


def test_between_crash_and_restart_the_caller_is_told_at_once() -> None:
    clock = FakeClock()
    scorer = Isolated(opened(), SETTINGS, clock)
    for crash in range(1, 4):
        assert scorer.process_id is not None
        os.kill(scorer.process_id, signal.SIGKILL)
        with pytest.raises(InferenceError, match="SIGKILL"):
            scorer.score(golden().windows)
        with pytest.raises(InferenceError, match=f"crash {crash} in a row, it is started again"):
            scorer.score(golden().windows)
        assert scorer.process_id is None, "the pause is not over"
        clock.advance(60 * NANOSECONDS)
        scored_again(scorer)
    assert scorer.counters == {"crashes": 3, "restarts": 3}
    scorer.close()


def test_a_stuck_loop_ends_by_the_deadline_and_the_process_lives_on() -> None:
    scorer = Isolated(opened(model=slow_model()), replace(SETTINGS, deadline_ns=NANOSECONDS))
    process = scorer.process_id
    with pytest.raises(DeadlineError, match=r"overran its deadline of 1 s and was stopped"):
        scorer.score(stuck_windows())
    np.testing.assert_allclose(scorer.score(golden().windows)[0], golden().score, rtol=1e-5)
    assert scorer.process_id == process
    assert scorer.counters == {"overruns": 1}
    scorer.close()


def test_a_process_that_does_not_stop_at_its_deadline_is_killed() -> None:
    clock = FakeClock()
    scorer = Isolated(opened(model=slow_model()), SETTINGS, clock)
    process, raised = scorer.process_id, []
    assert process is not None
    os.kill(process, signal.SIGSTOP)  # as a kernel that never comes back from the accelerator's driver

    def score() -> None:
        try:
            scorer.score(golden().windows)
        except DeadlineError as error:
            raised.append(str(error))

    thread = threading.Thread(target=score)
    thread.start()
    wait_until(lambda: scorer._run is not None, 30, "the run")
    assert scorer.enforce_deadline(10 * NANOSECONDS) is False
    assert scorer.enforce_deadline(11 * NANOSECONDS) is True
    thread.join(0.2)
    assert thread.is_alive(), "it is given time to come back"
    assert scorer.enforce_deadline(13 * NANOSECONDS) is True
    thread.join(30)
    assert not thread.is_alive()
    assert raised == ["the model's process overran its deadline of 10 s, did not stop, and was killed"]
    assert scorer.counters == {"overruns": 1}
    scorer.close()


def test_what_a_session_refuses_is_refused_the_same_from_over_there() -> None:
    with pytest.raises(BundleError, match=r"model\.onnx has \['channels', 'result', 'window'\]"):
        Isolated(opened(model=energy_model(outputs=("result", "channels"))), SETTINGS)
    with pytest.raises(InferenceError, match="requires TensorrtExecutionProvider"):
        Isolated(opened(), InferenceSettings(device="tensorrt", required=True, isolate=True))


def test_a_closed_one_scores_no_more_and_leaves_no_process(scorer: Isolated) -> None:
    process = scorer.process_id
    assert process is not None
    scorer.close()
    scorer.close()
    with pytest.raises(InferenceError, match="was closed"):
        scorer.score(golden().windows)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_the_process_ends_with_its_parent_even_while_it_is_stuck(tmp_path) -> None:
    """The parent here is a process of its own that is killed in the middle of a run."""
    script = tmp_path / "parent.py"
    script.write_text(
        "from tests.integration.test_isolated import Isolated, SETTINGS, opened, slow_model, stuck_windows\n"
        "scorer = Isolated(opened(model=slow_model()), SETTINGS)\n"
        "print(scorer.process_id, flush=True)\n"
        "scorer.score(stuck_windows())\n"
    )
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.3)
        parent.kill()
    clock, began = SystemClock(), SystemClock().monotonic_ns()
    while _alive(child) and clock.monotonic_ns() - began < 30 * NANOSECONDS:
        time.sleep(0.02)
    assert not _alive(child)


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False

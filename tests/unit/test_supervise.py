"""A thread that fails is named, counted and restarted while the others go on; a stuck one is named; a stop is bounded."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator

import pytest

from agent.clock import FakeClock
from agent.supervise import RECOVERED_NS, Supervisor, next_backoff_s

WAIT_S = 30.0
SECOND = 1_000_000_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def supervisor(clock: FakeClock) -> Iterator[Supervisor]:
    running = Supervisor(clock, first_backoff_s=0.001)
    yield running
    for report in running.report():
        assert running.stop([report.name], WAIT_S)


def until_stopped(stop: threading.Event) -> None:
    assert stop.wait(WAIT_S)


def test_a_failing_body_is_restarted_and_the_others_go_on(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    lives: queue.Queue[str] = queue.Queue()
    third = threading.Event()

    def body(stop: threading.Event) -> None:
        lives.put(threading.current_thread().name)
        if lives.qsize() < 3:
            raise OSError("port gone")
        third.set()
        until_stopped(stop)

    supervisor.start("steady", until_stopped)
    with caplog.at_level(logging.ERROR):
        supervisor.start("reader", body)
        assert third.wait(WAIT_S)
    steady, reader = supervisor.report()
    assert list(lives.queue) == ["reader"] * 3
    assert (steady.restarts, reader.restarts) == (0, 2)
    assert reader.failure is None
    assert caplog.text.count("OSError: port gone") >= 2
    assert "Traceback" in caplog.text


def test_a_body_that_returns_by_itself_has_failed(supervisor: Supervisor) -> None:
    returned = threading.Event()

    def body(stop: threading.Event) -> None:
        if returned.is_set():
            until_stopped(stop)
        returned.set()

    supervisor.start("reader", body)
    assert returned.wait(WAIT_S)
    wait_for(lambda: supervisor.report()[0].restarts == 1)


def test_a_failure_is_told_until_the_next_start_and_is_not_taken_for_stuck(clock: FakeClock) -> None:
    slow = Supervisor(clock, first_backoff_s=WAIT_S)

    def body(stop: threading.Event) -> None:
        raise ValueError("no")

    slow.start("reader", body, silence_ns=SECOND)
    wait_for(lambda: slow.report()[0].failure is not None)
    clock.advance(5 * SECOND)
    [report] = slow.report()
    assert (report.failure, report.stuck, report.silent_ns) == ("ValueError: no", False, 5 * SECOND)
    assert slow.stop(["reader"], WAIT_S), "a stop ends the wait for the next start"


def test_the_stuck_threads_are_named(supervisor: Supervisor, clock: FakeClock) -> None:
    for name, silence_ns in {"outbox": 2 * SECOND, "pipeline": 10 * SECOND, "free": None}.items():
        started = threading.Event()
        supervisor.start(name, lambda stop, started=started: (started.set(), until_stopped(stop)), silence_ns)
        assert started.wait(WAIT_S)
    clock.advance(2 * SECOND)
    assert supervisor.stuck() == ()
    clock.advance(1)
    assert supervisor.stuck() == ("outbox",)
    clock.advance(10 * SECOND)
    assert supervisor.stuck() == ("outbox", "pipeline")


def test_a_look_at_whether_to_stop_is_a_sign_of_life(supervisor: Supervisor, clock: FakeClock) -> None:
    look, looked = threading.Event(), threading.Event()

    def body(stop: threading.Event) -> None:
        while not stop.is_set():
            looked.set()
            look.wait(WAIT_S)

    supervisor.start("reader", body, 2 * SECOND)
    assert looked.wait(WAIT_S)
    clock.advance(3 * SECOND)
    assert supervisor.stuck() == ("reader",)
    looked.clear()
    look.set()
    assert looked.wait(WAIT_S)
    assert supervisor.stuck() == ()


def test_a_thread_that_will_not_end_is_reported_within_the_bound(supervisor: Supervisor) -> None:
    release = threading.Event()
    supervisor.start("deaf", lambda stop: until_stopped(release))
    assert supervisor.stop(["deaf"], 0.01) is False
    release.set()
    assert supervisor.stop(["deaf"], WAIT_S) is True


def test_backoff_doubles_to_its_cap_and_starts_anew_after_recovery() -> None:
    waits = [0.0]
    for _ in range(9):
        waits.append(next_backoff_s(waits[-1], ran_ns=SECOND))
    assert waits[1:] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert next_backoff_s(30.0, RECOVERED_NS) == 0.5
    assert next_backoff_s(30.0, RECOVERED_NS - 1) == 30


def test_a_name_is_used_once(supervisor: Supervisor) -> None:
    supervisor.start("reader", until_stopped)
    with pytest.raises(ValueError, match="reader"):
        supervisor.start("reader", until_stopped)


def wait_for(condition: Callable[[], bool]) -> None:
    """Poll until `condition` holds; a state that no event announces."""
    pause = threading.Event()
    for _ in range(int(WAIT_S / 0.005)):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("the condition never came true")

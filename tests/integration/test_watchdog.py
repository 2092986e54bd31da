"""systemd's watchdog is fed while samples flow and not when a stage is blocked, which STATUS and health then name."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import agent.app
import agent.canary
import agent.supervise
from agent.app import App
from agent.clock import SystemClock
from agent.config.starting import started
from agent.errors import OutboxError
from agent.infer.slot import ScorerSlot
from agent.notify import Notifier
from agent.outbox.store import Outbox
from agent.pipeline.intake import Intake
from agent.sources.serial_port import SerialSource
from agent.types import NANOSECONDS, Chunk, Commit
from tests.harness.agent_folder import AgentFolder
from tests.harness.broker import wait_until
from tests.harness.threads import at_work

LATE_NS = 3 * NANOSECONDS // 2


class Heard:
    """What systemd was told, with times."""

    def __init__(self, bound: socket.socket) -> None:
        self._bound = bound
        self.said: list[tuple[float, str]] = []

    def take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.said.append((time.monotonic(), self._bound.recv(4096).decode()))

    def pings_since(self, moment: float) -> int:
        self.take()
        return sum(text == "WATCHDOG=1" for at, text in self.said if at > moment)

    @property
    def status(self) -> str:
        self.take()
        return next((text for _, text in reversed(self.said) if "STATUS=" in text), "")


class Running:
    def __init__(self, app: App, heard: Heard) -> None:
        self.app = app
        self.heard = heard

    @property
    def failures(self) -> list[str]:
        self.heard.take()
        health = self.app._vitals.latest
        return [] if health is None else [reason.where for reason in health.reasons if reason.state == "failure"]

    def feed(self) -> None:
        """One sample of a device."""
        self.app._buffer.put(Chunk("drive", b'{"drive": {"current": 1}}', time.time_ns(), "t", time.monotonic_ns()))


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Running]]:
    """Start a real agent without a broker, whose samples may take a second and a half; it is stopped in the end."""
    monkeypatch.setattr(agent.app, "late_ns", lambda _deadline_ns: LATE_NS)
    monkeypatch.setattr(agent.canary, "EVERY_S", 0.2)
    folder = AgentFolder(tmp_path)
    with contextlib.ExitStack() as exits:
        bound = exits.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        bound.bind(str(tmp_path / "notify"))
        bound.setblocking(False)

        def begin() -> Running:
            what = exits.enter_context(started(folder.config, strict=False))
            app = App(what, SystemClock(), Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}), lambda: None)
            app.start()
            exits.callback(app.stop)
            exits.enter_context(at_work(app.watch))
            return Running(app, Heard(bound))

        yield begin


def test_an_agent_without_a_broker_is_alive(start: Callable[[], Running]) -> None:
    running = start()
    began = time.monotonic()
    wait_until(lambda: running.heard.pings_since(began) >= 4, 30, "pings while no broker is there")
    assert "stuck" not in running.heard.status
    books = running.app._vitals.publish().flow
    assert books["buffer"]["in"] > 0
    assert books["frames"] == {"in": 0, "out": 0, "held": 0, "dropped": 0}
    for stage, flow in books.items():
        assert flow["in"] == flow["out"] + flow["held"] + flow["dropped"], stage


def test_every_thread_has_a_bound_on_its_silence(start: Callable[[], Running]) -> None:
    threads = start().app._supervisor._threads
    assert {"outbox", "link", "pipeline", "control", "config", "bundles", "shadow", "canary"} <= set(threads)
    assert [name for name, thread in threads.items() if thread._silence_ns is None] == []


def test_a_reader_that_dies_again_and_again_leaves_the_rest_alive(
    start: Callable[[], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, mended = SerialSource.run, threading.Event()

    def die(self, stop):
        if mended.is_set():
            return run(self, stop)
        raise OSError("the driver is gone")

    monkeypatch.setattr(SerialSource, "run", die)
    monkeypatch.setattr(agent.supervise, "LONGEST_BACKOFF_S", 1.0)
    running = start()
    [reader] = [source.name for source in running.app._sources if isinstance(source, SerialSource)]

    def restarts() -> int:
        return next(each.restarts for each in running.app._supervisor.report() if each.name == reader)

    wait_until(lambda: restarts() >= 2, 30, "the reader started again, and again")
    began = time.monotonic()
    wait_until(lambda: running.heard.pings_since(began) >= 3, 30, "pings meanwhile")
    wait_until(lambda: reader in running.failures, 30, "the reader's failure in health")
    mended.set()
    wait_until(lambda: reader not in running.failures, 30, "the reader well again")


def test_a_reader_that_blocks_is_named(start: Callable[[], Running], monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(agent.app, "SILENCE_NS", 2 * NANOSECONDS)
    monkeypatch.setattr(SerialSource, "run", lambda _self, _stop: release.wait(60))
    running = start()
    [reader] = [source.name for source in running.app._sources if isinstance(source, SerialSource)]
    try:
        wait_until(lambda: reader in running.heard.status.partition("STATUS=stuck: ")[2], 30, "the reader named")
        wait_until(lambda: reader in running.failures, 30, "the reader's failure in health")
        moment = time.monotonic()
        time.sleep(2.5)
        assert running.heard.pings_since(moment) == 0
    finally:
        release.set()


def test_samples_of_our_own_write_nothing_to_disk(start: Callable[[], Running], tmp_path: Path) -> None:
    running = start()
    canary = running.app._canary
    log = tmp_path / "state" / "outbox.db-wal"

    def undisturbed() -> bool:
        """Whether nothing was written while some of them arrived; what the start has to say may still be under way."""
        before, arrived_ns = log.stat(), canary._arrived_ns
        wait_until(lambda: canary._arrived_ns > arrived_ns + NANOSECONDS, 30, "more of them")
        after = log.stat()
        return (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)

    wait_until(lambda: canary._arrived_ns == canary._put_ns, 30, "a sample that arrived")
    wait_until(undisturbed, 30, "samples that write nothing")


def test_a_model_that_blocks_is_named_and_the_watchdog_goes_hungry(
    start: Callable[[], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    release, blocked = threading.Event(), threading.Event()
    windows = Intake.windows

    def block(self, batches):
        found = windows(self, batches)
        if self.decoders["drive"].counters["frames"]:  # else the step is of our own sample alone
            blocked.set()
            running.app._pipeline.machines["pump-1"].scorer.score(np.zeros((1, 3, 32), np.float32))
        return found

    def score(_self, windows):
        assert release.wait(60)
        raise AssertionError

    running = start()
    wait_until(lambda: running.heard.pings_since(0) >= 2, 30, "a healthy agent")
    monkeypatch.setattr(Intake, "windows", block)
    monkeypatch.setattr(ScorerSlot, "score", score)
    running.feed()
    assert blocked.wait(30)
    _assert_named(running, "pipeline")
    monkeypatch.undo()
    release.set()


def test_a_disk_that_blocks_is_named_and_heals(
    start: Callable[[], Running], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A commit that opens a FIFO, which nobody reads, sleeps in the kernel as one on a hung disk does."""
    fifo = tmp_path / "hung"
    os.mkfifo(fifo)
    running = start()
    wait_until(lambda: running.heard.pings_since(0) >= 2, 30, "a healthy agent")
    commit = Outbox.commit

    def hang(self, *arguments):
        with fifo.open("wb"):
            pass
        commit(self, *arguments)

    monkeypatch.setattr(Outbox, "commit", hang)
    running.app._writer.submit(Commit(state={"x": b"1"}), 1)
    _assert_named(running, "outbox")
    monkeypatch.setattr(Outbox, "commit", commit)
    with fifo.open("rb"):
        pass
    healed = time.monotonic()
    wait_until(lambda: running.heard.pings_since(healed) >= 2, 30, "pings after the disk has come back")
    assert "stuck" not in running.heard.status


def test_a_disk_that_takes_nothing_does_not_end_the_agent(
    start: Callable[[], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start()

    def full(*_arguments):
        raise OutboxError("no space left on device")

    monkeypatch.setattr(Outbox, "commit", full)
    running.app._writer.submit(Commit(state={"x": b"1"}), 1)
    wait_until(lambda: "outbox" in running.failures, 30, "a reason in health")
    time.sleep(2 * LATE_NS / NANOSECONDS)
    moment = time.monotonic()
    wait_until(lambda: running.heard.pings_since(moment) >= 2, 30, "pings while the disk is full")
    assert "stuck" not in running.heard.status
    monkeypatch.undo()


def _assert_named(running: Running, stage: str) -> None:
    wait_until(lambda: f"STATUS=stuck: {stage}" in running.heard.status, 30, f"{stage} named")
    wait_until(lambda: stage in running.failures, 30, f"{stage} in health")
    moment = time.monotonic()
    time.sleep(2.5)
    assert running.heard.pings_since(moment) == 0
    assert running.heard.status == f"STATUS=stuck: {stage}"
